"""Inner loops of the duplicate search, compiled by numba."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_BLOCK = 256  # columns that one row is compared with in one pass: they stay in the level 1 cache


def _popcount_code(typing_context: Any, word: Any) -> tuple[Any, Any]:
    """Numba's description of `_popcount`: its signature and its LLVM code."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


# Number of set bits of a word: one instruction.
_popcount = cast("Callable[[np.uint64], np.uint64]", intrinsic(_popcount_code))


@njit(cache=True, nogil=True)
def nearest_cells(similarities: np.ndarray, max_gap: np.ndarray, found: np.ndarray) -> None:
    """Write the cells of each row: the nearest one, and the nearest of those that are within `max_gap` of it.

    Args:
        similarities: of rows to centroids, float32 [n k].
        max_gap: how much less similar a cell (second index) may be than the nearest one (first index),
            float32 [k k].
        found: int32 [n limit], written: cells, the nearest first; unused places -1.
    """
    rows, cells = similarities.shape
    limit = found.shape[1]
    best = np.empty(limit, np.float32)
    for i in range(rows):
        primary, highest = 0, similarities[i, 0]
        for c in range(1, cells):
            if similarities[i, c] > highest:
                primary, highest = c, similarities[i, c]
        found[i, 0] = primary
        count = 1
        for c in range(cells):
            similarity = similarities[i, c]
            if c == primary or highest - similarity > max_gap[primary, c]:
                continue
            if count == limit and similarity <= best[count - 1]:
                continue
            place = min(count, limit - 1)
            while place > 1 and best[place - 1] < similarity:
                found[i, place], best[place] = found[i, place - 1], best[place - 1]
                place -= 1
            found[i, place], best[place] = c, similarity
            count = min(count + 1, limit)
        found[i, count:] = -1


@njit(nogil=True)
def _max_differing_bits(cosine: float, bits: int, stds: float) -> np.uint64:
    """Expected number of differing bits for two vectors of this cosine, plus `stds` standard deviations."""
    share = np.arccos(cosine) / np.pi
    return np.uint64(bits * share + stds * np.sqrt(bits * share * (1 - share)) + 1)


@njit(cache=True, nogil=True)
def screen_pairs(
    bits: np.ndarray, radii: np.ndarray, primaries: int, among_primaries: bool, max_distance: float,
    stds: float, start: int, first: int, found: np.ndarray,
) -> tuple[int, int, int]:  # fmt: skip
    """Note candidate pairs of the first `primaries` vectors and all that follow, until `found` fills up.

    Args:
        bits: sign bits of the vectors, uint64 [words n].
        radii: distances of the vectors from the center of the cell, float64 [n].
        among_primaries: whether the first vectors are compared with each other as well.
        max_distance: 1 minus the lowest cosine similarity of a pair.
        stds: standard deviations of the bit count that candidates may exceed the expected count by.
        start: first vector of the block of primaries to begin with.
        first: first vector to compare that block with.
        found: int32 [size 2], written from the front; `size` is at least one block.

    Returns:
        The number of pairs in `found`, and the `start` and `first` to continue with. At the end `start`
        equals `primaries`.
    """
    words, count = bits.shape
    half = words // 2
    differing = np.empty(_BLOCK, np.uint64)
    noted = 0
    while start < primaries:
        end = min(start + _BLOCK, primaries)
        width = end - start
        min_radius = radii[start:end].min()
        for i in range(max(first, start if among_primaries else primaries), count):
            if noted + width > len(found):
                return noted, start, i
            if end <= i < primaries and not among_primaries:
                continue
            # |u - v|^2 = 2 max_distance: the cosine of u and v is at least this, whatever their lengths
            cosine = max(-1.0, 1 - max_distance / (radii[i] * min_radius + 1e-12))
            limit = _max_differing_bits(cosine, 64 * half, stds + 0.5)
            differing[:] = 0
            for k in range(half):
                word = bits[k, i]
                row = bits[k, start:end]
                for j in range(width):
                    differing[j] += _popcount(word ^ row[j])
            lowest = differing[0]
            for j in range(width):
                lowest = min(lowest, differing[j])
            if lowest > limit:
                continue
            full_limit = _max_differing_bits(cosine, 64 * words, stds)
            for j in range(width):
                if differing[j] <= limit and start + j < i:
                    total = differing[j]
                    for k in range(half, words):
                        total += _popcount(bits[k, i] ^ bits[k, start + j])
                    if total <= full_limit:
                        found[noted, 0] = i
                        found[noted, 1] = start + j
                        noted += 1
        start, first = end, 0
    return noted, start, first


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot_products(vectors: np.ndarray, pairs: np.ndarray, out: np.ndarray) -> None:
    """Write the dot product of each pair of vectors, float64 [n], summed in double precision."""
    for n in range(len(pairs)):
        left, right = vectors[pairs[n, 0]], vectors[pairs[n, 1]]
        total = 0.0
        for k in range(vectors.shape[1]):
            total += np.float64(left[k]) * np.float64(right[k])
        out[n] = total


@njit(cache=True, nogil=True)
def first_kept_pairs(better: np.ndarray, starts: np.ndarray, dropped: np.ndarray, found: np.ndarray) -> None:
    """Write for each node the first of its pairs whose better node is kept, or -1.

    Args:
        better: the better node of each pair, int64 [n]; the pairs are sorted by their worse node.
        starts: the first pair of each worse node, int64 [nodes + 1]; nodes are sorted from best to worst.
        dropped: nodes that are not kept, whatever their pairs, bool [nodes].
        found: int64 [nodes], written.
    """
    for node in range(len(dropped)):
        found[node] = -1
        for pair in range(starts[node], starts[node + 1]):
            other = better[pair]
            if found[other] < 0 and not dropped[other]:
                found[node] = pair
                break


@njit(cache=True, nogil=True)
def best_alignments(
    products: np.ndarray, energy: np.ndarray, other_energy: np.ndarray, speeds: np.ndarray,
    min_overlap: float, found: np.ndarray,
) -> None:  # fmt: skip
    """Write the alignments of two sequences with the highest correlations, one per speed, the highest first.

    Sample i of the first sequence is aligned with the position speed * i + offset of the second.

    Args:
        products: of each sample of the first with each of the second, [n m].
        energy: squared length of each sample of the first, [n].
        other_energy: of each of the second, [m].
        speeds: samples of the second per sample of the first, float64 [k].
        min_overlap: lowest share of the shorter sequence that is aligned.
        found: float64 [limit 3], written: correlation, speed, offset. Unused rows have a correlation of -9.
    """
    count, others = products.shape
    sums, other_sums = np.zeros(count + 1), np.zeros(others + 1)
    for i in range(count):
        sums[i + 1] = sums[i] + energy[i]
    for j in range(others):
        other_sums[j + 1] = other_sums[j] + other_energy[j]
    found[:, 0] = -9.0
    for speed in speeds:
        shortest = max(2.0, min_overlap * min(count, (others - 1) / speed + 1))
        best, best_offset = -9.0, 0.0
        offset = -speed * (count - shortest)
        while offset <= others - 1 - speed * (shortest - 1) + 1e-6:
            start = max(0, int(np.ceil(-offset / speed - 1e-9)))
            end = min(count - 1, int(np.floor((others - 1 - offset) / speed + 1e-9)))
            if end - start + 1 >= shortest - 1e-6:
                total = 0.0
                for i in range(start, end + 1):
                    position = min(max(speed * i + offset, 0.0), others - 1.0)
                    j = min(int(position), others - 2)
                    share = position - j
                    total += products[i, j] * (1 - share) + products[i, j + 1] * share
                first, last = int(speed * start + offset + 0.5), int(speed * end + offset + 0.5)
                other = (other_sums[min(last + 1, others)] - other_sums[first]) / (last - first + 1)
                energies = (sums[end + 1] - sums[start]) * other * (end - start + 1)
                correlation = total / np.sqrt(energies + 1e-9)
                if correlation > best:
                    best, best_offset = correlation, offset
            offset += 0.25
        place = len(found)
        while place > 0 and found[place - 1, 0] < best:
            place -= 1
        if place < len(found):
            for row in range(len(found) - 1, place, -1):
                found[row] = found[row - 1]
            found[place, 0], found[place, 1], found[place, 2] = best, speed, best_offset
