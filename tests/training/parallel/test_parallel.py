"""Layouts are checked before anything is built; attention over shared tokens equals attention over all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training.errors import LayoutError
from training.parallel.mesh import Layout

OnRanks = Callable[..., str]


@pytest.mark.parametrize(
    ("layout", "world", "shard"),
    [(Layout(), 1, 1), (Layout(), 6, 6), (Layout(replicate=2), 4, 2), (Layout(context=2, shard=3), 6, 3)],
)
def test_shards_take_what_is_left(layout: Layout, world: int, shard: int) -> None:
    assert layout.over(world).shard == shard


@pytest.mark.parametrize(
    ("layout", "world"),
    [(Layout(context=2), 1), (Layout(shard=2), 3), (Layout(replicate=0), 2), (Layout(replicate=3), 4)],
)
def test_a_layout_that_does_not_make_the_ranks_is_refused(layout: Layout, world: int) -> None:
    with pytest.raises(LayoutError):
        layout.over(world)


def test_attention_over_shared_tokens_equals_attention_over_all(on_ranks: OnRanks) -> None:
    on_ranks(2, Path(__file__).with_name("context_ranks.py"), "2")
