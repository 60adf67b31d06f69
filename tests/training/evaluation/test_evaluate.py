"""An evaluation gives the loss by timestep, mode, bucket and data set, and the same one for any batches."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from training.cli import main
from training.data.shards import LatentShards
from training.diffusion.generation_mode import generation_mode, possible_given_frames
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate import evaluate
from training.evaluation.result import linear_mse, linear_sums
from training.recipes.world import train

MakeShard = Callable[..., tuple[str, str]]
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def data(make_shard: MakeShard) -> Pairs:
    """Videos of three and two frames, and images."""
    return [
        make_shard("films/latents/3x4x6/000000", ["clip0", "clip1", "clip2", "clip3"]),
        make_shard("films/latents/2x4x6/000000", ["clip4", "clip5"], shape=(16, 2, 4, 6)),
        make_shard("photos/latents/1x4x6/000000", ["image0", "image1"], shape=(16, 1, 4, 6)),
    ]


@pytest.fixture
def trained(model: Path, data: Pairs) -> Iterator[Path]:
    """A model of all modes, which is trained once."""
    settings = {"batch_size": 2, "num_threads": 1, "quiet": True, "conditional_frames": (0.4, 0.3, 0.3)}
    if not (model / "model.safetensors").exists():
        train({"data": data, "steps": 2, **settings}, model)
    return model


def test_an_evaluation_has_each_breakdown(
    trained: Path, data: Pairs, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--model", str(trained), "--data", str(Path(data[0][0]).parents[3])]
    command += ["--num-threads", "1"]
    for options in (["--json"], []):
        assert main([*command, *options]) == 0
    first, *text = capsys.readouterr().out.splitlines()
    result = json.loads(first)
    assert result["clips"] == 8
    assert len(result["loss_by_timestep"]) == 10
    assert result["loss"] == pytest.approx(sum(result["loss_by_timestep"].values()) / 10)
    bucket, dataset, mode = (result[f"loss_by_{name}"] for name in ("bucket", "dataset", "mode"))
    assert list(bucket) == ["1x4x6", "2x4x6", "3x4x6"]
    assert list(dataset) == ["films", "photos"]
    assert list(mode) == ["text_to_image", "text_to_video", "image_to_video", "video_to_video"]
    assert dataset["photos"] == mode["text_to_image"] == bucket["1x4x6"]
    assert dataset["films"] == pytest.approx(mode["text_to_video"])
    assert dataset["films"] == pytest.approx((2 * bucket["2x4x6"] + 4 * bucket["3x4x6"]) / 6)
    assert result["loss"] == pytest.approx((6 * dataset["films"] + 2 * dataset["photos"]) / 8)
    assert text[-3].startswith("by mode: text_to_image ")


@pytest.mark.slow
def test_an_evaluation_does_not_depend_on_the_batch_size(trained: Path, data: Pairs) -> None:
    one, five, again = (evaluate(trained, data, batch_size=size, num_threads=1) for size in (1, 5, 5))
    assert again == five
    assert five.loss == pytest.approx(one.loss, rel=1e-5)
    assert five.linear_loss == pytest.approx(one.linear_loss, rel=1e-9)
    assert five.loss_by_mode == pytest.approx(one.loss_by_mode, rel=1e-5)


def test_few_clips_are_spread_over_all_shards_and_ranks(data: Pairs) -> None:
    clips = EvaluationClips(LatentShards(data), max_clips=4)
    alone = [each for batch in clips.batches(2) for each in batch.clips.ids]
    assert alone == ["image0", "clip4", "clip0", "clip2"]
    ranks = [list(clips.batches(1, rank, 2)) for rank in range(2)]
    assert [batch.bucket for batch in ranks[0]] == [batch.bucket for batch in ranks[1]]
    counted = [b.clips.ids[: len(b.datasets)] for batches in ranks for b in batches]
    assert sorted(i for ids in counted for i in ids) == sorted(alone)


def test_modes() -> None:
    assert [generation_mode(3, n) for n in range(3)] == ["text_to_video", "image_to_video", "video_to_video"]
    assert generation_mode(1, 0) == "text_to_image"
    assert possible_given_frames({0: 0.5, 1: 0.0, 2: 0.5}, 3) == [0, 2]
    assert possible_given_frames({2: 1.0}, 2) == [0]


def test_the_linear_prediction_is_the_least_squares_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 3, 4, 5, generator=generator)
    slope = torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1, 1)
    y = slope * x + 0.5 + 0.1 * torch.randn(x.shape, generator=generator)
    expected = []
    for channel in range(2):
        a = torch.stack([x[:, channel].flatten(), torch.ones(360)], 1).double()
        b = y[:, channel].flatten().double()
        expected.append(float((a @ torch.linalg.lstsq(a, b[:, None]).solution - b[:, None]).square().mean()))
    sums = linear_sums(x[:2], y[:2]) + linear_sums(x[2:], y[2:])
    assert linear_mse(sums) == pytest.approx(sum(expected) / 2, rel=1e-6)
