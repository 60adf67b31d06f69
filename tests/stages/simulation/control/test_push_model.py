"""`clipmill plan-actions --model`: planning and policy evaluation in a world model of the push task."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")

import torch

from pipeline.cli import main
from stages.simulation.push_task import ACTION_SPEC
from training.conditions.spec import ActionSpec, ConditionSpec
from training.diffusion.config import DiffusionConfig
from training.model import MODEL_FILE, ModelInfo, save_model
from training.networks.config import VideoDiTConfig
from training.tokenizers import tokenizer_digest
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.weights import save_weights
from training.world_model import WorldModel


def write_model(folder: Path, action: Mapping[str, Any] = ACTION_SPEC, rate: float = 12.0) -> Path:
    """An untrained model of the push task, of images of 16 px."""
    torch.manual_seed(0)
    tokenizer = folder / "tokenizer.safetensors"
    save_weights(PatchTokenizer(PatchTokenizerConfig((1, 8, 8), 16, 8, 1, 1)), tokenizer, {})
    spec = ConditionSpec(rate, ActionSpec(**action, mean=(0.0, 0.0), std=(0.5, 0.5)), None)
    network = VideoDiTConfig(num_attention_heads=1, attention_head_dim=18, num_layers=1, action_dim=2)
    info = ModelInfo(
        network=network,
        diffusion=DiffusionConfig(),
        text_encoder={"name": "none"},
        flow_shift=1.0,
        latents={"tokenizer": str(tokenizer), "digest": tokenizer_digest(str(tokenizer))},
        fps=rate,
        latent_shapes=[(16, 4, 2, 2)],
        training={"conditional_frames": (0.0, 1.0)},
        conditions=spec.to_json(),
    )
    save_model(folder / MODEL_FILE, WorldModel(network, info.diffusion, "none").state_dict(), info)
    return folder


def test_the_verb_plans_and_evaluates_policies_in_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(write_model(tmp_path)), "--episodes", "1", "--steps", "2"]
    search = ["--candidates", "4", "--elites", "2", "--iterations", "1"]
    assert main(["plan-actions", *options, *search]) == 0
    agents = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert agents == ["random", "planner in model", "planner in true simulator", "expert"]
    assert main(["plan-actions", *options, "--evaluate-policies", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["policies"]) == 6
    assert set(printed["agreement"]) == {"pearson", "spearman", "bias", "mean_error"}
    learn = ["--learn-policy", str(tmp_path / "policies"), "--rounds", "1", "--learning-episodes", "1"]
    assert main(["plan-actions", *options, *search, *learn, "--evaluate-policies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-3:-1]] == [
        "policy learned in model",
        "policy learned in simulator",
    ]
    assert "rank correlation" in lines[-1]
    file = str(tmp_path / "policies" / "model.safetensors")
    assert main(["plan-actions", *options, "--evaluate-policies", "--policy", file]) == 0
    assert "policy model" in capsys.readouterr().out.splitlines()[-2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": {**ACTION_SPEC, "names": ["x", "y"]}}, "names of actions of the model"),
        ({"action": {**ACTION_SPEC, "units": ["m", "m"]}}, "units of actions of the model"),
        ({"action": {**ACTION_SPEC, "frame": "gripper"}}, "frame of actions of the model"),
        ({"rate": 10.0}, "actions per second of the model: 10.0; of the push task: 12.0"),
    ],
)
def test_a_model_of_other_actions_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan-actions", "--model", str(write_model(tmp_path, **changes))]) == 1
    assert message in capsys.readouterr().err


def test_policies_without_a_model_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-actions", "--evaluate-policies"]) == 1
    assert "name a model with --model" in capsys.readouterr().err


def test_images_of_another_size_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-actions", "--model", str(write_model(tmp_path)), "--size", "32"]) == 2
    assert "images are 32 x 32 px, and those of the model 16 x 16" in capsys.readouterr().err
