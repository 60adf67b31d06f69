"""Stages run one after another in one training, which resumes in the right one; wrong settings are named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.models_trained.train_world import TrainWorld
from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.errors import LatentMismatchError, SettingError
from training.model import read_model_info
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.objectives.denoising import Denoising
from training.recipes.config import TrainingConfig
from training.recipes.stages import open_stages, read_stages, stage_at
from training.recipes.world import train

MakeShard = Callable[..., tuple[str, str]]
SHORT: dict[str, Any] = {"batch_size": 2, "warmup_steps": 0, "num_threads": 1, "quiet": True, "lr": 1e-3}
SMALLER = VideoDiTConfig(num_attention_heads=1, attention_head_dim=24, num_layers=1, timestep_scale=100.0)
STAGES = """
- {steps: 2, max_latent_area: 24, checkpoint_interval: 1}
- {steps: 2, min_latent_area: 25, lr: 5e-4, tokens_per_batch: 64, image_loss_scale: 2}
- {steps: 1, lr_schedule: linear, conditional_frames: [1, 1], batch_size: 4}
"""


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [
        make_shard("small/000000", [f"clip{n:03d}" for n in range(4)], shape=(16, 2, 4, 4)),
        make_shard("large/000000", [f"clip{n:03d}" for n in range(4, 8)], shape=(16, 2, 4, 8)),
    ]


def test_stages_resume_at_any_step(
    data: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", SMALLER)
    (tmp_path / "stages.yaml").write_text(STAGES)
    arguments = ["batch_size=2", "warmup_steps=0", "num_threads=1", "lr=1e-3", "text_encoder=none"]
    folder, stages = str(tmp_path / "shards"), str(tmp_path / "stages.yaml")
    whole = tmp_path / "whole"
    assert main(["train", "--data", folder, "--out", str(whole), "--stages", stages, *arguments]) == 0
    printed = capsys.readouterr().err
    assert "stage 1 of 3: steps 1 to 2\n" in printed
    assert "\nstage 2 of 3: steps 3 to 4 · " in printed
    assert " · lr 0.0005 (was 0.001)" in printed
    assert "step 1/5" in printed  # of all stages
    lines = read_loss_curve(whole / "curve.jsonl")
    assert [line["stage"] for line in lines] == [1, 1, 2, 2, 3]
    assert [line["lr"] for line in lines] == [1e-3, 1e-3, 5e-4, 5e-4, 1e-3]
    history = json.loads((whole / "checkpoints/step-00000005/record.json").read_text())["history"]
    assert [entry["step"] for entry in history] == [0, 2, 4]
    assert history[1]["settings"]["lr"] == 5e-4
    assert history[2]["settings"]["conditional_frames"] == [1, 1]
    assert read_model_info(whole).training["steps"] == 5

    original = Denoising.__call__
    settings = {"data": data, "stages": STAGES, **SHORT, "text_encoder": "none"}

    def interrupt(self: Any, batch: Any, step: int) -> Any:
        if kills and step == kills[0]:
            kills.pop(0)
            raise KeyboardInterrupt
        return original(self, batch, step)

    part, kills = tmp_path / "part", [1, 4]  # inside the first stage, and at the start of the last
    monkeypatch.setattr(Denoising, "__call__", interrupt)
    while kills:
        with pytest.raises(KeyboardInterrupt):
            train(settings, part)
    again = train(settings, part)
    assert [line["loss"] for line in read_loss_curve(again.loss_curve)] == [line["loss"] for line in lines]
    assert again.model.read_bytes() == (whole / "model.safetensors").read_bytes()
    resumed = json.loads((part / "checkpoints/step-00000005/record.json").read_text())["history"]
    assert resumed == history


def test_each_stage_has_its_settings(data: list[tuple[str, str]]) -> None:
    config = TrainingConfig(data=data, stages=STAGES, warmup_steps=5, flow_shift=3.0)
    stages = open_stages(config)
    assert [(s.first_step, s.end_step) for s in stages] == [(0, 2), (2, 4), (4, 5)]
    assert [s.config.warmup_steps for s in stages] == [5, 0, 0]
    assert [s.config.flow_shift for s in stages] == [3.0] * 3
    assert [s.shards.shapes for s in stages][:2] == [((16, 2, 4, 4),), ((16, 2, 4, 8),)]
    assert [stage_at(stages, step).number for step in (0, 1, 2, 4, 5, 99)] == [1, 1, 2, 3, 3, 3]
    other = f"- {{steps: 1, data: {Path(data[0][0]).parent}}}"
    assert open_stages(TrainingConfig(data=data[1:], stages=other))[0].shards.shapes == ((16, 2, 4, 4),)


@pytest.mark.parametrize(
    ("stages", "message", "remedy"),
    [
        ("- {steps: 1}\n- {steps: 1, flow_shfit: 2}", "no setting 'flow_shfit'", "did you mean flow_shift?"),
        ("- {steps: 1, path: edm}", "path cannot change between stages", "whole training"),
        ("- {steps: 1, context_parallel: 2}", "context_parallel cannot change", "whole training"),
        ("- {lr: 1e-3}", "the stage has no steps", "add steps"),
        ("- {steps: 1.5}", "steps must be of type int, not 1.5", ""),
        ("- {steps: 0}", "steps: 0 is out of range", ""),
        ("- {steps: 1, lr: fast}", "lr must be of type float", ""),
        ("stages.yaml", "not a list of mappings", "steps: 1000"),
        ("- {steps: 1", "not valid YAML", ""),
        ("- {steps: 1, lr_schedule: lineal}", "no lr_schedule 'lineal'", "constant, cosine, linear"),
    ],
)
def test_wrong_stages_are_refused(
    data: list[tuple[str, str]], stages: str, message: str, remedy: str
) -> None:
    with pytest.raises(SettingError) as caught:
        open_stages(TrainingConfig(data=data, stages=stages))
    assert message in caught.value.what
    assert remedy in caught.value.remedy


def test_a_file_of_stages_that_is_missing_is_an_error(
    data: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, missing = str(Path(data[0][0]).parent), str(tmp_path / "no.yaml")
    assert main(["train", "--data", folder, "--out", str(tmp_path), "--stages", missing]) == 2
    assert "the stages cannot be read" in capsys.readouterr().err


def test_stages_of_other_latents_are_refused(make_shard: MakeShard, data: list[tuple[str, str]]) -> None:
    other = make_shard("other/000000", ["clip900"], shape=(16, 2, 4, 4), tokenizer_digest="d2")
    faster = make_shard("faster/000000", ["clip901"], shape=(16, 2, 4, 4), fps=24.0)
    for pair, message in ((other, "digest is d2, but d1"), (faster, "the frame rate is 24 fps, but 12")):
        stages = f"- {{steps: 1}}\n- {{steps: 1, data: {Path(pair[0]).parent}}}"
        with pytest.raises(LatentMismatchError, match=message) as caught:
            open_stages(TrainingConfig(data=data, stages=stages))
        assert "stage 2 of stages" in str(caught.value)
    with pytest.raises(LatentMismatchError, match="no clip has a latent height"):
        open_stages(TrainingConfig(data=data, stages="- {steps: 1, min_latent_area: 999}"))


def test_a_stage_of_a_dag_reads_only_the_input_of_its_step(tmp_path: Path) -> None:
    assert len(read_stages(STAGES)) == 3
    step = TrainWorld(stages="- {steps: 1, data: elsewhere}")
    with pytest.raises(SettingError, match="a stage in a DAG cannot name data"):
        step.run(iter(()), tmp_path)
