"""A student is trained from its teacher, resumes, and is sampled at the timesteps that its model records."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.errors import CheckpointError, SettingError
from training.evaluation.evaluate import evaluate
from training.model import MODEL_FILE, read_model_info
from training.recipes.config import TrainingConfig
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train

OnRanks = Callable[..., str]


@pytest.fixture
def settings(common: dict[str, Any], teacher: Path) -> dict[str, Any]:
    distillation = {"distillation": "trajectory", "distillation_teacher_steps": 2}
    return {**common, **distillation, "lr": 1e-3, "init_from": str(teacher)}


def test_a_student_trains_resumes_and_is_sampled(
    settings: dict[str, Any], teacher: Path, tmp_path: Path
) -> None:
    held_out = {"distillation_guidance_scale": 2.0, "validation_data": settings["data"]}
    whole = train({**settings, **held_out, "steps": 3}, tmp_path / "whole")
    assert whole.validation is None
    work = tmp_path / "work"
    train({**settings, **held_out, "steps": 2}, work)
    assert train({**settings, **held_out, "steps": 3}, work).model.read_bytes() == whole.model.read_bytes()

    info = read_model_info(work)
    t = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
    assert info.distillation["timesteps"] == pytest.approx((3 * t / (1 + 2 * t)).tolist())
    assert info.distillation["guidance_scale"] == 2
    before, student = (load_file(place / MODEL_FILE) for place in (teacher, work))
    changed = {name for name, weight in student.items() if not torch.equal(weight, before[name])}
    assert {name.partition(".")[0] for name in changed} == {"network"}
    assert whole.parameters == sum(w.numel() for name, w in student.items() if name.startswith("network."))

    request = SamplingRequest(prompt=["a"], num_threads=1)
    videos = sample(work, request).videos
    chosen = replace(request, num_inference_steps=4, sampler="euler", guidance_scale=1.0)
    assert (sample(work, chosen).videos == videos).all()
    with pytest.raises(
        SettingError, match="num_inference_steps is 8, and this model was distilled to 4 steps"
    ):
        sample(work, replace(request, num_inference_steps=8))
    with pytest.raises(SettingError, match="sampler is heun"):
        sample(work, replace(request, sampler="heun"))
    with pytest.raises(SettingError, match="its denoising loss says nothing"):
        evaluate(work, settings["data"], num_threads=1)


@pytest.mark.slow
def test_a_student_needs_the_teacher_that_it_began_with(
    settings: dict[str, Any], teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**settings, "init_from": str(shutil.copytree(teacher, tmp_path / "teacher"))}
    train({**settings, "steps": 1}, tmp_path / "work")
    with pytest.raises(CheckpointError, match="distillation"):
        train({**settings, "steps": 2, "distillation_steps": 2}, tmp_path / "work")
    assert main(["export", "--from", str(tmp_path / "work"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / MODEL_FILE).read_bytes() == (tmp_path / "work" / MODEL_FILE).read_bytes()
    shutil.move(tmp_path / "teacher", tmp_path / "aside")
    with pytest.raises(CheckpointError, match=r"need the weights of init_from[\s\S]*put the weights back"):
        train({**settings, "steps": 2}, tmp_path / "work")
    capsys.readouterr()


@pytest.mark.slow
def test_ranks_share_a_distillation(on_ranks: OnRanks, settings: dict[str, Any], tmp_path: Path) -> None:
    own = {**settings, "steps": 2, "distillation_guidance_scale": 2.0}
    alone = read_loss_curve(train(own, tmp_path / "alone").loss_curve)
    runs = [{"work": "data"}, {"work": "context", "context_parallel": 2}]
    runs = [{**own, **run, "work": str(tmp_path / run["work"])} for run in runs]  # type: ignore[dict-item]
    on_ranks(2, Path(__file__).parent.parent / "world_ranks.py", *map(json.dumps, runs))
    for name in ("data", "context"):
        for line, expected in zip(read_loss_curve(tmp_path / name / "curve.jsonl"), alone, strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation": "trajectory"}, "there is no model"),
        ({"distillation": "trajectory", "init_from": "a", "codes": "b"}, "decoder cannot be distilled"),
        ({"distillation": "dmd"}, "no distillation 'dmd'"),
        ({"distillation_steps": 0}, "distillation_steps: 0 is out of range"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        TrainingConfig(data=(), **changes)
