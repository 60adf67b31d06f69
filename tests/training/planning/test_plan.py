"""The plan of a training: parameters, memory, FLOPs, and layouts that are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.utils._pytree import tree_leaves

from training.cli import main
from training.errors import LayoutError
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.networks.video_dit import VideoDiT
from training.planning.memory import PlannedConditions
from training.planning.plan import plan_training
from training.recipes.config import TrainingSettings
from training.recipes.world import train

MakeShard = Callable[..., tuple[str, str]]
SHAPE = (16, 2, 8, 8)
ONE_BLOCK = VideoDiTConfig(num_attention_heads=1, attention_head_dim=24, num_layers=1)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("cosmos-predict2-2b-video2world", 1_956_413_440),
        ("cosmos-predict1-7b", 7_236_192_256),
        ("cosmos-predict1-14b", 14_267_149_312),
    ],
)
@pytest.mark.slow
def test_the_plan_of_a_published_model(model: str, parameters: int) -> None:
    settings = TrainingSettings(model=model, text_encoder="none", batch_size=8)
    plan = plan_training(settings, SHAPE, 8)
    assert plan.parameters == parameters
    assert plan.weights == plan.ema == plan.gradients == plan.optimizer // 2 == parameters // 8 * 4
    assert plan.activations_checkpointed < plan.activations_selective < plan.activations
    assert plan.days == pytest.approx(200 * plan.flops / (8 * 989e12 * 0.4) / 86400)


@pytest.mark.slow
def test_context_ranks_share_the_activations() -> None:
    settings = TrainingSettings(text_encoder="none", batch_size=2)
    one = plan_training(settings, (16, 4, 16, 16), 2)
    two = plan_training(
        TrainingSettings(text_encoder="none", batch_size=1, context_parallel=2), (16, 4, 16, 16), 2
    )
    assert two.activations_checkpointed < two.activations_selective < two.activations
    assert two.tokens_per_rank == one.tokens_per_rank // 2
    assert 0.4 < two.activations / one.activations < 0.8
    assert two.weights == one.weights


def test_the_activations_of_a_unet_are_counted() -> None:
    plan = plan_training(TrainingSettings(model="unet3d-tiny", text_encoder="none"), (16, 2, 5, 8))
    assert plan.activations_checkpointed < plan.activations_selective < plan.activations
    assert plan.tokens == 2 * 4 * 4
    assert plan.flops > 0


def test_tokens_per_batch_determines_the_clips_of_a_step() -> None:
    by_tokens = TrainingSettings(
        text_encoder="none", batch_size=2, tokens_per_batch=200, async_checkpoint=False
    )
    plan = plan_training(by_tokens, SHAPE, 2)  # 32 tokens per clip
    assert plan.clips == 6
    assert plan.tokens_per_rank == 3 * 32
    assert plan.checkpoint_copy == 0


@pytest.mark.parametrize(
    ("settings", "num_ranks", "message"),
    [
        ({"model": "unet3d-tiny", "context_parallel": 2}, 2, "set context_parallel to 1"),
        ({"batch_size": 3}, 2, "multiple of 2"),
        ({"context_parallel": 2}, 3, "start a multiple of 2 ranks"),
        ({"context_parallel": 8, "batch_size": 1}, 8, "choose context_parallel_method=ring or allgather"),
        ({"context_parallel": 40, "batch_size": 1}, 40, "32 tokens of a clip cannot be divided"),
    ],
)
def test_impossible_layouts_are_refused(settings: dict[str, int], num_ranks: int, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        plan_training(TrainingSettings(**settings), SHAPE, num_ranks)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_copy_for_a_checkpoint_is_as_large_as_planned(
    make_shard: MakeShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, stage = [], BlockingAsyncStager.stage

    def count(self: BlockingAsyncStager, state: dict[str, Any]) -> dict[str, Any]:
        copy = stage(self, state)
        storages = {each.untyped_storage() for each in tree_leaves(copy) if isinstance(each, torch.Tensor)}
        copied.append(sum(storage.nbytes() for storage in storages))
        return copy

    monkeypatch.setattr(BlockingAsyncStager, "stage", count)
    monkeypatch.setitem(MODEL_CONFIGS, "tiny", ONE_BLOCK)
    data = [make_shard("a/000000", ["c0"], shape=SHAPE)]
    settings: dict[str, Any] = {"steps": 1, "batch_size": 1, "num_threads": 1}
    for ema in ("none", "power"):
        train({**settings, "ema": ema, "quiet": True, "data": data}, tmp_path / ema)
    plan = plan_training(TrainingSettings(**settings, ema="none"), SHAPE)
    expected = [plan.checkpoint_copy, plan.checkpoint_copy + plan.weights]
    assert copied == pytest.approx(expected, rel=1e-3)  # and the step of each parameter


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["plan-training", "batch_size=4", "--shape", "16,2,8,8", "--num-ranks", "2"]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "memory per rank" in printed
    assert "CPU memory  " in printed
    assert "TFLOP" in printed
    assert main([*line[:2], "--shape", "16,2,8"]) == 2
    assert "write for example 16,24,88,160" in capsys.readouterr().err
    assert main([*line[:2], "--shape", "16,2,8,9"]) == 2
    assert "use latents of 8 x 8" in capsys.readouterr().err


def test_conditions_are_planned(capsys: pytest.CaptureFixture[str]) -> None:
    settings = TrainingSettings(text_encoder="none")
    plain = plan_training(settings, SHAPE)
    both = plan_training(settings, SHAPE, conditions=PlannedConditions(8, "block"))
    network = replace(MODEL_CONFIGS["tiny"], action_dim=8, camera_injection="block")
    assert both.parameters == sum(p.numel() for p in VideoDiT(network).parameters())
    assert both.parameters > plain.parameters
    assert both.activations > plain.activations
    assert both.flops > plain.flops
    command = ["plan-training", "--shape", "16,2,8,8", "model=tiny", "text_encoder=none"]
    assert main([*command, "conditions=action,camera", "--action-dim", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] > plain.parameters
    for options, message in (
        (["conditions=action"], "needs the size of the actions"),
        (["conditions=camera", "--action-dim", "8"], "conditions is without action"),
        (
            ["conditions=camera", "model=unet3d-tiny", "camera_injection=block"],
            "as channels of its input, not",
        ),
    ):
        assert main([*command, *options]) == 2
        assert message in capsys.readouterr().err
