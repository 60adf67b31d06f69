"""Parallel dimensions are validated, and context-parallel attention equals plain attention."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.errors import LayoutError
from training.parallel.mesh import ParallelDims

OnRanks = Callable[..., str]


@pytest.mark.parametrize(
    ("dims", "world_size", "dp_shard"),
    [
        (ParallelDims(), 1, 1),
        (ParallelDims(), 6, 6),
        (ParallelDims(dp_replicate=2), 4, 2),
        (ParallelDims(context_parallel=2, dp_shard=3), 6, 3),
    ],
)
def test_dp_shard_takes_the_remaining_ranks(dims: ParallelDims, world_size: int, dp_shard: int) -> None:
    assert dims.resolve(world_size).dp_shard == dp_shard


@pytest.mark.parametrize(
    ("dims", "world_size"),
    [
        (ParallelDims(context_parallel=2), 1),
        (ParallelDims(dp_shard=2), 3),
        (ParallelDims(dp_replicate=0), 2),
        (ParallelDims(dp_replicate=3), 4),
    ],
)
def test_dims_that_do_not_multiply_to_the_ranks_are_refused(dims: ParallelDims, world_size: int) -> None:
    with pytest.raises(LayoutError):
        dims.resolve(world_size)


def test_attention_over_several_ranks_equals_plain_attention(on_ranks: OnRanks) -> None:
    on_ranks(3, Path(__file__).with_name("context_ranks.py"))


def test_a_rank_that_ends_gives_the_others_one_message(on_ranks: OnRanks) -> None:
    printed = on_ranks(2, Path(__file__).with_name("lost_rank.py"))
    assert "another rank ended" in printed
    assert "Run again to resume" in printed
    assert len(printed.splitlines()) < 5


def test_ranks_that_share_a_video_sample_what_one_rank_does(on_ranks: OnRanks, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    printed = on_ranks(2, Path(__file__).with_name("sampling_ranks.py"), tmp_path, video)
    assert printed == f"{video}\n"
    assert video.stat().st_size > 100


LAYOUT_RANKS = Path(__file__).with_name("layout_ranks.py")


def test_losses_and_gradients_are_those_of_one_process(on_ranks: OnRanks) -> None:
    ring = {"context_parallel": 2, "context_parallel_method": "ring", "activation_checkpointing": "selective"}
    layouts = [ring, ring | {"grad_accum_steps": 2}]
    one, two = json.loads(on_ranks(2, LAYOUT_RANKS, *map(json.dumps, layouts)))
    assert one == two > 0  # each gradient is reduced once per step, not once per microbatch


@pytest.mark.slow
def test_losses_and_gradients_do_not_depend_on_the_layout(on_ranks: OnRanks) -> None:
    methods = ("ulysses", "allgather", "ring")
    pair = [{"context_parallel": 2, "context_parallel_method": method} for method in methods]
    ulysses, allgather, ring = pair
    layouts: list[dict[str, Any]] = [
        {},
        {"dp_replicate": 2, "activation_checkpointing": "selective"},
        ulysses,
        ulysses | {"grad_accum_steps": 2},
        ring | {"dp_replicate": 2, "activation_checkpointing": "full"},
        allgather | {"context_parallel": 4, "grad_accum_steps": 4},
        ring | {"context_parallel": 4, "activation_checkpointing": "selective"},
        ulysses | {"grad_accum_steps": 2, "sync_each_batch": True},
    ]
    reductions = json.loads(on_ranks(4, LAYOUT_RANKS, *map(json.dumps, layouts)))
    assert reductions[2] == reductions[3] > 0  # one reduction per step and block, not per microbatch
    assert reductions[7] > reductions[3]
