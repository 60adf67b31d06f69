"""The order of samples is a pure function of (seed, step); ranks only cut it into slices."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.order import Order, Place, hashes, share

COUNTS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(sum), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(1, 7), st.integers(0, 2**63), st.integers(1, 8))
def test_every_sample_is_seen_as_often_as_any_other(
    counts: list[list[int]], batch: int, seed: int, window: int
) -> None:
    order = Order(tuple(map(tuple, counts)), batch, seed, window)
    seen: Counter[tuple[int, Place]] = Counter()
    for step in range(order.before(6)):
        bucket, places = order.at(step)
        assert len(places) == batch
        seen.update((bucket, place) for place in places)
    for bucket, shards in enumerate(counts):
        total = sum(shards)
        times = [seen[bucket, Place(s, n)] for s, many in enumerate(shards) for n in range(many)]
        given_ = 6 * total // batch * batch
        assert sum(times) == given_ > 6 * total - batch
        assert {given_ // total, -(-given_ // total)} >= set(times)


def test_epochs_and_seeds_differ() -> None:
    order = Order(((50, 50),), 10, seed=1)
    epochs = [[p for s in range(e * 10, e * 10 + 10) for p in order.at(s)[1]] for e in (0, 1)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert Order(((50, 50),), 10, seed=2).at(0) != order.at(0)


def test_the_order_is_pinned() -> None:
    """A change here would make every unfinished training go on with other samples."""
    assert [int(h) for h in hashes(2, 7, 3)] == [16693346848406779205, 6324683520024795016]
    order = Order(((4, 3), (2,)), 3, seed=5, window=4)
    assert [order.at(s)[0] for s in range(6)] == [0, 0, 0, 0, 1, 0]
    assert order.at(2)[1] == [Place(0, 3), Place(0, 0), Place(1, 0)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_ranks_cut_one_batch(ranks: int) -> None:
    _, places = Order(((20,),), 12).at(3)
    assert [p for r in range(ranks) for p in share(places, r, ranks)] == places


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="12 samples cannot be shared equally by 5"):
        share(Order(((20,),), 12).at(0)[1], 0, 5)
