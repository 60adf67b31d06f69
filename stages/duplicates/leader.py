"""Greedy leader: from the best to the worst, what is like something better that is kept is dropped.

So each that is dropped has a twin that is kept. Connected components would drop whole chains, and "drop
if any better neighbour is near" drops those whose only neighbour is dropped too.
"""

import numpy as np


def twins(one: np.ndarray, other: np.ndarray, similarity: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """For each of some things, sorted from best to worst, the pair that drops it, or -1.

    Args:
        one: the better of each pair, int64 [n].
        other: the worse.
        similarity: of the two, float64 [n]. Of several kept ones the most similar is the twin, of
            equally similar ones the best.
        gone: which of the things are dropped for another reason, so that they are nobody's twin.
    """
    from stages.duplicates.counting import lead

    order = np.lexsort((one, -similarity, other))
    starts = np.searchsorted(other[order], np.arange(len(gone) + 1))
    found = np.empty(len(gone), np.int64)
    lead(one[order], starts, gone, found)
    return np.where(found >= 0, order[np.maximum(found, 0)] if len(order) else -1, -1)
