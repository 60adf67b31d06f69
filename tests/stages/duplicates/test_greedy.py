"""The choice of duplicates depends on the order of the nodes, not of the pairs."""

import numpy as np

from stages.duplicates.greedy import choose_duplicates


def _slow(better: np.ndarray, worse: np.ndarray, similarity: np.ndarray, dropped: np.ndarray) -> list[int]:
    """The better node of the pair that drops each node, or -1, computed literally."""
    found = [-1] * len(dropped)
    for node in range(len(dropped)):
        pairs = [p for p in range(len(better)) if worse[p] == node]
        kept = [p for p in pairs if found[better[p]] < 0 and not dropped[better[p]]]
        if kept:
            found[node] = int(better[min(kept, key=lambda p: (-similarity[p], better[p]))])
    return found


def test_each_dropped_node_has_a_kept_neighbor_whatever_the_order_of_the_pairs() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        ends = np.sort(rng.integers(0, 40, (60, 2)), axis=1)
        ends = np.unique(ends[ends[:, 0] < ends[:, 1]], axis=0)
        similarity, dropped = np.round(rng.random(len(ends)), 1), rng.random(40) < 0.1
        expected = _slow(ends[:, 0], ends[:, 1], similarity, dropped)
        order = rng.permutation(len(ends))
        found = choose_duplicates(ends[order, 0], ends[order, 1], similarity[order], dropped)
        assert [int(ends[order[p], 0]) if p >= 0 else -1 for p in found] == expected


def test_without_pairs_no_node_is_dropped() -> None:
    none = np.zeros(0, np.int64)
    assert choose_duplicates(none, none, np.zeros(0), np.zeros(3, bool)).tolist() == [-1, -1, -1]
