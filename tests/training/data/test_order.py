"""The order of samples is a pure function of (seed, step), and ranks only divide the batches."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.order import SampleIndex, SampleOrder, hash_words, slice_of_batch

COUNTS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(sum), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(1, 7), st.integers(0, 2**63), st.integers(1, 8))
def test_every_sample_is_read_equally_often(
    counts: list[list[int]], batch_size: int, seed: int, window: int
) -> None:
    order = SampleOrder(tuple(map(tuple, counts)), batch_size, seed, window)
    reads: Counter[tuple[int, SampleIndex]] = Counter()
    for step in range(order.first_step(6)):
        bucket, indices = order.batch(step)
        assert len(indices) == batch_size
        reads.update((bucket, index) for index in indices)
    for bucket, shards in enumerate(counts):
        total = sum(shards)
        times = [reads[bucket, SampleIndex(s, n)] for s, count in enumerate(shards) for n in range(count)]
        total_reads = 6 * total // batch_size * batch_size
        assert sum(times) == total_reads > 6 * total - batch_size
        assert {total_reads // total, -(-total_reads // total)} >= set(times)


def test_epochs_and_seeds_differ() -> None:
    order = SampleOrder(((50, 50),), 10, seed=1)
    epochs = [[p for s in range(e * 10, e * 10 + 10) for p in order.batch(s)[1]] for e in (0, 1)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert SampleOrder(((50, 50),), 10, seed=2).batch(0) != order.batch(0)


def test_the_order_does_not_change_between_releases() -> None:
    """A change here would make every unfinished training resume with other samples."""
    assert [int(h) for h in hash_words(2, 7, 3)] == [16693346848406779205, 6324683520024795016]
    order = SampleOrder(((4, 3), (2,)), 3, seed=5, window=4)
    assert [order.batch(s)[0] for s in range(6)] == [0, 0, 0, 0, 1, 0]
    assert order.batch(2)[1] == [SampleIndex(0, 3), SampleIndex(0, 0), SampleIndex(1, 0)]


def test_the_order_of_several_epochs_and_windows_does_not_change_between_releases() -> None:
    """The values are those of the implementation that looked up one sample at a time."""
    order = SampleOrder(((4, 3, 0, 9), (2, 5), (1,)), 5, seed=11, window=6)
    assert {step: order.batch(step) for step in (0, 1, 2, 3, 17, 40)} == {
        0: (0, [(0, 2), (3, 7), (3, 6), (3, 4), (3, 3)]),
        1: (0, [(3, 5), (3, 2), (1, 1), (1, 2), (1, 0)]),
        2: (1, [(1, 1), (1, 3), (1, 2), (0, 1), (1, 0)]),
        3: (0, [(3, 0), (0, 3), (0, 0), (3, 1), (0, 1)]),
        17: (1, [(0, 1), (1, 2), (0, 0), (1, 3), (1, 4)]),
        40: (0, [(3, 7), (3, 6), (3, 5), (3, 0), (1, 2)]),
    }
    assert [order.replacement(*at) for at in ((0, 0, 0), (3, 2, 1), (17, 4, 7))] == [(0, 0), (1, 1), (0, 0)]


def test_many_shards_are_indexed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    order = SampleOrder(((3,) * 1000, (2,) * 1000), 8)
    order.batch(0)
    shuffles = []

    def count(values: Any, **settings: Any) -> Any:
        shuffles.append(values)
        return argsort(values, **settings)

    argsort = np.argsort
    monkeypatch.setattr(np, "argsort", count)
    for step in range(1, 50):
        order.batch(step)
    assert len(shuffles) <= 2  # the shards and the window of the other bucket


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_ranks_divide_one_batch(ranks: int) -> None:
    _, indices = SampleOrder(((20,),), 12).batch(3)
    assert [p for r in range(ranks) for p in slice_of_batch(indices, r, ranks)] == indices


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match="12 samples cannot be divided equally into 5"):
        slice_of_batch(SampleOrder(((20,),), 12).batch(0)[1], 0, 5)
