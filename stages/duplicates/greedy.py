"""Greedy choice of the clips to keep: from best to worst, a clip that is similar to a kept one is dropped.

So each dropped clip has a kept clip that it is similar to. Connected components would drop whole chains.
The rule "drop a clip if any better neighbor exists" would drop clips whose only neighbor is dropped too.
"""

import numpy as np


def choose_duplicates(
    better: np.ndarray, worse: np.ndarray, similarity: np.ndarray, dropped: np.ndarray
) -> np.ndarray:
    """For each node, sorted from best to worst, the index of the pair that drops it, or -1: int64 [nodes].

    Of several kept neighbors the most similar one decides, and of equally similar ones the best.

    Args:
        better: the better node of each pair, int64 [n].
        worse: the worse node of each pair, int64 [n].
        similarity: of both nodes, float64 [n].
        dropped: nodes that are dropped for another reason, bool [nodes]. They drop no other node.
    """
    from stages.duplicates.kernels import first_kept_pairs

    order = np.lexsort((better, -similarity, worse))
    starts = np.searchsorted(worse[order], np.arange(len(dropped) + 1))
    found = np.empty(len(dropped), np.int64)
    first_kept_pairs(better[order], starts, dropped, found)
    return np.where(found >= 0, order[np.maximum(found, 0)] if len(order) else -1, -1)
