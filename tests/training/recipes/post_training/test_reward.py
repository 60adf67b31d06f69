"""A fine-tuning by a reward logs it, resumes, and leaves the text encoder as it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.callbacks.loss_curve import read_loss_curve
from training.errors import SettingError
from training.model import MODEL_FILE, read_model_info
from training.recipes.config import TrainingConfig
from training.recipes.world import train

OnRanks = Callable[..., str]


@pytest.fixture
def settings(common: dict[str, Any], teacher: Path) -> dict[str, Any]:
    reward = {"reward": "psnr", "grpo_group_size": 2, "grpo_num_inference_steps": 4, "grpo_timesteps": 1}
    return {**common, **reward, "lr": 1e-3, "init_from": str(teacher)}


@pytest.mark.slow
def test_a_fine_tuning_resumes_and_logs_its_reward(
    settings: dict[str, Any], teacher: Path, tmp_path: Path
) -> None:
    whole = train({**settings, "steps": 3}, tmp_path / "whole")
    work = tmp_path / "work"
    train({**settings, "steps": 2}, work)
    assert train({**settings, "steps": 3}, work).model.read_bytes() == whole.model.read_bytes()
    lines = read_loss_curve(whole.loss_curve)
    assert all(
        {"reward", "reward_std", "clipped_share", "policy_loss", "clean_mse"} <= {*line} for line in lines
    )
    assert all(5 < line["reward"] < 40 for line in lines)  # dB
    before, after = (load_file(place / MODEL_FILE) for place in (teacher, work))
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {name.partition(".")[0] for name in changed} == {"network"}
    training = read_model_info(work).training
    assert (training["reward"], training["grpo_updates"]) == ("psnr", 2)
    assert "distillation" not in training


@pytest.mark.slow
def test_ranks_share_a_fine_tuning(on_ranks: OnRanks, settings: dict[str, Any], tmp_path: Path) -> None:
    own = {**settings, "steps": 2}
    alone = read_loss_curve(train(own, tmp_path / "alone").loss_curve)
    runs = [{"work": "data"}, {"work": "context", "context_parallel": 2}]
    runs = [{**own, **run, "work": str(tmp_path / run["work"])} for run in runs]  # type: ignore[dict-item]
    on_ranks(2, Path(__file__).parent.parent / "world_ranks.py", *map(json.dumps, runs))
    for name in ("data", "context"):
        for line, expected in zip(read_loss_curve(tmp_path / name / "curve.jsonl"), alone, strict=True):
            assert line["reward"] == pytest.approx(expected["reward"], abs=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": "motion"}, "there is no model"),
        ({"reward": "motion", "init_from": "a", "codes": "b"}, "cannot be combined with codes"),
        ({"reward": "motion", "init_from": "a", "distillation": "trajectory"}, "combined with distillation"),
        ({"reward": "beauty", "init_from": "a"}, "no reward 'beauty'"),
        ({"reward": "goal_distance", "init_from": "a"}, "reward_color has 0 numbers"),
        ({"reward": "motion", "init_from": "a", "grpo_updates": 5}, "is 10, and 9 steps of the sampler add"),
        ({"grpo_group_size": 1}, "grpo_group_size: 1 is out of range"),
        ({"grpo_eta": 0.0}, "grpo_eta: 0.0 is out of range"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        TrainingConfig(data=(), **changes)
