"""The loops of the search, compiled by numba: near cells, bits that differ, sums of products, who leads."""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_BLOCK = 256  # words compared with one at a time: they stay in the nearest cache


@intrinsic
def _ones(typing, word):
    """How many bits of a word are set: one instruction."""

    def build(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


@njit(cache=True, nogil=True)
def near_cells(similarities, reach, found):
    """Write the cells of each row: its nearest one, and of those within reach of it the nearest.

    Args:
        similarities: of rows to centroids, float32 [n k].
        reach: by how much a cell may be less similar than the nearest one, float32 [k k], by these two.
        found: int32 [n most], written: cells, the nearest first; -1 where there are no more.
    """
    rows, cells = similarities.shape
    most = found.shape[1]
    best = np.empty(most, np.float32)
    for i in range(rows):
        home, top = 0, similarities[i, 0]
        for c in range(1, cells):
            if similarities[i, c] > top:
                home, top = c, similarities[i, c]
        found[i, 0] = home
        taken = 1
        for c in range(cells):
            here = similarities[i, c]
            if c == home or top - here > reach[home, c]:
                continue
            if taken == most and here <= best[taken - 1]:
                continue
            place = min(taken, most - 1)
            while place > 1 and best[place - 1] < here:
                found[i, place], best[place] = found[i, place - 1], best[place - 1]
                place -= 1
            found[i, place], best[place] = c, here
            taken = min(taken + 1, most)
        found[i, taken:] = -1


@njit(nogil=True)
def _most(cosine, size, spread):
    """Bits of `size` in which two vectors of this cosine differ, and `spread` deviations more."""
    share = np.arccos(cosine) / np.pi
    return np.uint64(size * share + spread * np.sqrt(size * share * (1 - share)) + 1)


@njit(cache=True, nogil=True)
def screen(bits, radii, homes, among, apart, spread, start, first, found):
    """Note pairs of places whose vectors may be alike, until `found` is nearly full or all were seen.

    The first `homes` places are compared with each other, where `among` says so, and with all that follow.

    Args:
        bits: uint64 [words n].
        radii: lengths of the vectors from the middle of the cell, float64 [n].
        apart: 1 less the lowest similarity of unit vectors that counts.
        start: the block of homes to begin with; `first` the place that is compared with it first.
        found: int32 [room 2], filled from the front; room is at least a block.

    Returns:
        How many pairs were noted, and `start` and `first` to go on with; `start` is `homes` at the end.
    """
    words, count = bits.shape
    half = words // 2
    away = np.empty(_BLOCK, np.uint64)
    noted = 0
    while start < homes:
        end = min(start + _BLOCK, homes)
        width = end - start
        least = radii[start:end].min()
        for i in range(max(first, start if among else homes), count):
            if noted + width > len(found):
                return noted, start, i
            if end <= i < homes and not among:
                continue
            # |u - v|^2 = 2 apart: their cosine is at least this, whatever the two lengths
            cosine = max(-1.0, 1 - apart / (radii[i] * least + 1e-12))
            limit = _most(cosine, 64 * half, spread + 0.5)
            away[:] = 0
            for k in range(half):
                mine = bits[k, i]
                row = bits[k, start:end]
                for j in range(width):
                    away[j] += _ones(mine ^ row[j])
            low = away[0]
            for j in range(width):
                low = min(low, away[j])
            if low > limit:
                continue
            whole = _most(cosine, 64 * words, spread)
            for j in range(width):
                if away[j] <= limit and start + j < i:
                    differing = away[j]
                    for k in range(half, words):
                        differing += _ones(bits[k, i] ^ bits[k, start + j])
                    if differing <= whole:
                        found[noted, 0] = i
                        found[noted, 1] = start + j
                        noted += 1
        start, first = end, 0
    return noted, start, first


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def products(vectors, pairs, out):
    """Write the dot product of each pair of vectors, float64 [n], summed in double precision."""
    for n in range(len(pairs)):
        near, far = vectors[pairs[n, 0]], vectors[pairs[n, 1]]
        total = 0.0
        for k in range(vectors.shape[1]):
            total += np.float64(near[k]) * np.float64(far[k])
        out[n] = total


@njit(cache=True, nogil=True)
def lead(one, starts, gone, found):
    """Write for each node the first of its pairs whose better node is kept, or -1.

    Args:
        one: the better node of each pair, int64 [n]: the pairs sorted by their worse node.
        starts: the first pair of each worse node, int64 [nodes + 1]; nodes are sorted from best to worst.
        gone: nodes that are not kept, whatever their pairs, bool [nodes].
        found: int64 [nodes], written.
    """
    for node in range(len(gone)):
        found[node] = -1
        for pair in range(starts[node], starts[node + 1]):
            better = one[pair]
            if found[better] < 0 and not gone[better]:
                found[node] = pair
                break
