"""Latents are normalized by the statistics of their domain, which the model file records and samples undo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.cli import main
from training.data.latent_statistics import denormalize, normalize, read_statistics
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import CheckpointError, LatentMismatchError, SettingError
from training.evaluation.evaluate import evaluate
from training.model import read_model_info
from training.recipes import sampling
from training.recipes.batches import open_shards
from training.recipes.config import TrainingConfig, TrainingSettings
from training.recipes.stages import check_settings_of_dag
from training.recipes.world import train
from training.tokenizers import load_tokenizer

MakeShard = Callable[..., tuple[str, str]]
SHORT: dict[str, Any] = {"batch_size": 2, "num_threads": 1, "quiet": True, "steps": 1}


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    images = {"shape": (16, 1, 4, 4), "fps": 1.0}
    return [
        make_shard("a/000000", ["clip000", "clip001"], shape=(16, 2, 4, 4)),
        make_shard("b/000000", ["clip002", "clip003"], **images),
    ]


@pytest.fixture
def statistics(data: list[tuple[str, str]], tmp_path: Path) -> Path:
    """What the verb writes."""
    file = tmp_path / "statistics.json"
    assert main(["latent-statistics", "--data", str(tmp_path / "shards"), "--out", str(file)]) == 0
    return file


def test_normalized_latents_have_unit_variance(data: list[tuple[str, str]], statistics: Path) -> None:
    assert sorted(json.loads(statistics.read_text())) == ["image", "video"]
    shards = open_shards(TrainingConfig(data=data, latent_statistics=str(statistics)))
    raw = LatentShards(data)
    for bucket in (0, 1):
        latents = torch.stack([shards.read(bucket, SampleIndex(0, n)).latents for n in (0, 1)])
        by_channel = latents.transpose(0, 1).flatten(1)
        assert by_channel.mean(1).abs().max() < 1e-4
        assert (by_channel.std(1, correction=0) - 1).abs().max() < 1e-4
        values = read_statistics(str(statistics), 16)
        torch.testing.assert_close(
            denormalize(latents[0], values), raw.read(bucket, SampleIndex(0, 0)).latents.float()
        )


def test_a_domain_without_statistics_is_not_changed() -> None:
    values = {"image": {"mean": [1.0], "std": [2.0]}}
    video, image = torch.ones(1, 1, 2, 1, 1), torch.ones(1, 1, 1, 1, 1)
    assert normalize(video, values) is video
    assert denormalize(normalize(3 * image, values), values).item() == 3.0
    assert normalize(3 * image, values).item() == 1.0


def test_the_model_file_records_the_statistics(
    data: list[tuple[str, str]], statistics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"data": data, **SHORT, "latent_statistics": str(statistics)}
    result = train(settings, tmp_path / "run")
    info = read_model_info(result.model)
    assert info.latent_statistics == json.loads(statistics.read_text())
    with pytest.raises(CheckpointError, match="latent_statistics"):
        train({"data": data, **SHORT}, tmp_path / "run")
    again = train({**settings, "latent_statistics": "auto"}, tmp_path / "auto")
    assert again.model.read_bytes() == result.model.read_bytes()
    longer = {**settings, "data": data[:1], "latent_statistics": "auto", "steps": 2}
    assert read_model_info(train(longer, tmp_path / "auto").model).latent_statistics == info.latent_statistics
    read: list[torch.Tensor] = []

    def record(latents: torch.Tensor, statistics: Any) -> torch.Tensor:
        read.append(normalize(latents, statistics))
        return read[-1]

    monkeypatch.setattr("training.evaluation.evaluate.normalize", record)
    evaluate(result.model, data, num_threads=1)
    assert torch.cat([each.flatten() for each in read]).std() == pytest.approx(1, abs=0.05)
    undone: list[dict[str, Any]] = []
    monkeypatch.setattr(sampling, "open_tokenizer", lambda *_: load_tokenizer("small"))

    def undo(latents: torch.Tensor, statistics: Any) -> torch.Tensor:
        undone.append(dict(statistics))
        return denormalize(latents, statistics)

    monkeypatch.setattr(sampling, "denormalize", undo)
    sampling.sample(result.model, sampling.SamplingRequest(prompt=[""], num_inference_steps=1, num_threads=1))
    assert undone == [info.latent_statistics]


@pytest.mark.parametrize("text", ["{", '{"video": {"mean": [0], "std": [1]}}', '{"audio": {}}', "[]"])
def test_wrong_statistics_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(LatentMismatchError, match="not statistics of latents of 16 channels") as caught:
        read_statistics(str(tmp_path / "statistics.json"), 16)
    assert "latent-statistics --data" in str(caught.value)


def test_a_dag_takes_the_text_of_statistics_and_no_file(tmp_path: Path) -> None:
    text = json.dumps({"video": {"mean": [0.0], "std": [2.0]}})
    assert read_statistics(text, 1) == json.loads(text)
    check_settings_of_dag(TrainingSettings(latent_statistics=text))
    check_settings_of_dag(TrainingSettings(latent_statistics="auto"))
    with pytest.raises(SettingError, match=r"cannot name the file statistics\.json"):
        check_settings_of_dag(TrainingSettings(latent_statistics="statistics.json"))
