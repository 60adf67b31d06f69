"""Data sets have their shares of the steps, each in its own order, also in stages and after a resume."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.data.find_shards import find_datasets
from training.data.shards import LatentShards
from training.errors import LatentMismatchError, SettingError
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.recipes.batches import build_order
from training.recipes.config import TrainingConfig
from training.recipes.stages import open_stages

MakeShard = Callable[..., tuple[str, str]]
SMALLER = VideoDiTConfig(num_attention_heads=1, attention_head_dim=24, num_layers=1, timestep_scale=100.0)
VIDEO, LARGE, IMAGE = (16, 2, 4, 4), (16, 2, 4, 8), (16, 1, 4, 4)


@pytest.fixture
def folder(make_shard: MakeShard, tmp_path: Path) -> Path:
    """Three data sets: films in two shapes, drives in one of them, photos with images and videos."""
    for dataset, name, shape, count in (
        ("films", "a", VIDEO, 5),
        ("films", "b", LARGE, 3),
        ("films", "c", VIDEO, 2),
        ("drives", "a", VIDEO, 4),
        ("photos", "a", IMAGE, 6),
        ("photos", "b", VIDEO, 1),
    ):
        make_shard(f"{dataset}/{name}", [f"{dataset}{name}{n}" for n in range(count)], shape=shape)
    return tmp_path / "shards"


def configure(folder: Path, *names: str, **settings: Any) -> TrainingConfig:
    data, sizes, _ = find_datasets([str(folder / name) for name in names])
    return TrainingConfig(data=data, data_sizes=sizes, batch_size=2, **settings)


def read_ids(config: TrainingConfig, steps: int) -> list[list[str]]:
    """The ids of the clips of each step."""
    shards = LatentShards(config.data)
    order = build_order(config, shards)
    batches = [order.batch(step) for step in range(steps)]
    return [[shards.sample_id(bucket, index) for index in indices] for bucket, indices in batches]


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, 2.0), (5.0, 0.1)])
def test_the_shares_of_data_sets_are_exact(folder: Path, weights: tuple[float, float]) -> None:
    steps = read_ids(configure(folder, "films", "drives", data_weights=weights), 1000)
    films = 0
    for number, ids in enumerate(steps, 1):
        assert len({name[:5] for name in ids}) == 1  # one data set per step
        films += ids[0].startswith("films")
        assert abs(films - number * weights[0] / sum(weights)) < 1
    even = read_ids(configure(folder, "films", "drives", data_weights=(1.0, 1.0)), 1000)
    for name in ("films", "drives"):
        own, expected = ([ids for ids in each if ids[0].startswith(name)] for each in (steps, even))
        both = min(len(own), len(expected))
        assert own[:both] == expected[:both]  # the weights do not change its own order
        counts = Counter(clip for ids in own for clip in ids)
        assert max(counts.values()) - min(counts.values()) <= 2


def test_images_and_videos_are_divided_by_the_weights_each(folder: Path) -> None:
    names, weights = ("films", "drives", "photos"), (3.0, 1.0, 2.0)
    config = configure(folder, *names, data_weights=weights, image_share=0.25)
    firsts = [ids[0] for ids in read_ids(config, 1200)]
    assert sum(name.startswith("photosa") for name in firsts) == 300  # all images are of one data set
    videos = {
        name: sum(first.startswith(name) for first in firsts) for name in ("films", "drives", "photosb")
    }
    assert videos == pytest.approx({"films": 450, "drives": 150, "photosb": 300}, abs=2)
    pooled = [clip for ids in read_ids(configure(folder, *names), 210) for clip in ids]
    assert sum(clip.startswith("films") for clip in pooled) == pytest.approx(200, abs=4)  # 10 of 21 clips


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_weights": (1.0,)}, "for each of the 2 data sets"),
        ({"data_weights": (1.0, 0.0)}, "a number above 0"),
        ({"data_weights": (1.0, 1.0), "min_latent_area": 20}, "data set 2 of data_weights has no clips"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    def build() -> None:
        config = configure(folder, "films", "drives", **settings)
        build_order(config, LatentShards(config.data, min_area=config.min_latent_area))

    with pytest.raises((SettingError, LatentMismatchError), match=message):
        build()
    with pytest.raises(LatentMismatchError, match="two data sets have the same shard"):
        find_datasets([str(folder), str(folder / "films")])


def test_a_training_on_several_data_sets_resumes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", SMALLER)
    stages = tmp_path / "stages.yaml"
    stages.write_text("- {steps: 2}\n- {steps: 2, data_weights: [1, 3]}\n")
    arguments = ["train", "--data", str(folder / "films"), "--data", str(folder / "drives")]
    arguments += ["batch_size=2", "num_threads=1", "text_encoder=none", "data_weights=0.75,0.25"]
    for out, steps in (("whole", ["4"]), ("part", ["1", "4"])):
        for number in steps:
            assert main([*arguments, f"steps={number}", "--out", str(tmp_path / out)]) == 0
    curves = [
        [line["loss"] for line in read_loss_curve(tmp_path / n / "curve.jsonl")] for n in ("whole", "part")
    ]
    assert curves[0] == curves[1]
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert models[0] == models[1]
    assert main([*arguments, "--stages", str(stages), "--out", str(tmp_path / "staged")]) == 0
    assert "data_weights [1.0, 3.0] (was [0.75, 0.25])" in capsys.readouterr().err
    record = json.loads((tmp_path / "staged/checkpoints/step-00000004/record.json").read_text())
    assert record["history"][0]["settings"]["data_sizes"] == [3, 1]
    assert record["history"][1]["settings"]["data_weights"] == [1.0, 3.0]


def test_a_stage_names_its_data_sets(folder: Path) -> None:
    places = f"[{folder / 'films'}, {folder / 'photos'}]"
    stages = f"- {{steps: 1, data: {places}, data_weights: [1, 2]}}\n- {{steps: 1, data: {folder / 'films'}}}"
    config = configure(folder, "films", "drives", data_weights=(1.0, 1.0), stages=stages)
    first, second = open_stages(config)
    assert (first.config.data_sizes, first.config.data_weights) == ((3, 2), (1.0, 2.0))
    assert (second.config.data_sizes, second.config.data_weights) == ((3,), ())  # weights go with the data
