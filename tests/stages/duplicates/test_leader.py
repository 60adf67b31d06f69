"""Who is dropped follows the order, whatever the order of the pairs, and never by one that is dropped."""

import numpy as np

from stages.duplicates.leader import twins


def _slow(one: np.ndarray, other: np.ndarray, similarity: np.ndarray, gone: np.ndarray) -> list[int]:
    """The better one of the pair that drops each thing, or -1, as the sentence says it."""
    found = [-1] * len(gone)
    for worse in range(len(gone)):
        pairs = [p for p in range(len(one)) if other[p] == worse]
        kept = [p for p in pairs if found[one[p]] < 0 and not gone[one[p]]]
        if kept:
            found[worse] = int(one[min(kept, key=lambda p: (-similarity[p], one[p]))])
    return found


def test_each_that_is_dropped_has_a_kept_twin_and_the_pairs_order_is_nothing() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        ends = np.sort(rng.integers(0, 40, (60, 2)), axis=1)
        ends = np.unique(ends[ends[:, 0] < ends[:, 1]], axis=0)
        similarity, gone = np.round(rng.random(len(ends)), 1), rng.random(40) < 0.1
        wanted = _slow(ends[:, 0], ends[:, 1], similarity, gone)
        order = rng.permutation(len(ends))
        found = twins(ends[order, 0], ends[order, 1], similarity[order], gone)
        assert [int(ends[order[p], 0]) if p >= 0 else -1 for p in found] == wanted


def test_without_pairs_nothing_is_dropped() -> None:
    none = np.zeros(0, np.int64)
    assert twins(none, none, np.zeros(0), np.zeros(3, bool)).tolist() == [-1, -1, -1]
