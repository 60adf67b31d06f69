"""Which pairs of unit vectors are alike: bits tell the few that may be, and double precision decides.

The bits of a vector are the signs of its projections on random directions, once the mean of its
company is taken away. Two bits differ with the probability angle / pi (Goemans and Williamson, JACM
1995; Charikar, STOC 2002), whatever the data, so that the count of differing bits tells the angle; a
pair is looked at where the count is at most `SPREAD` deviations above what the floor allows. Counting
256 bits takes half a nanosecond, comparing 512 numbers twelve.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

WORDS = 8  # of 64 bits; half of them are counted first
SPREAD = 3.0  # deviations: of pairs just at the floor 0.1 % are missed, of those 0.02 above it hardly any
DIGITS = 6  # of a similarity: machines differ in later ones
_SLACK = 1e-4  # what single precision may be off by
_ROOM = 1 << 20  # pairs found before they are verified
_AT_ONCE = 1 << 12  # rows looked at at a time: they stay in the cache


class Pairs(NamedTuple):
    """Places of the vectors of each pair, and their similarity, rounded."""

    one: np.ndarray  # int64 [n]
    other: np.ndarray  # int64 [n]
    similarity: np.ndarray  # float64 [n]


NONE = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@lru_cache(maxsize=2)
def directions(size: int) -> np.ndarray:
    """Random directions, float32 [size, 64 * WORDS], the same each time."""
    return np.random.default_rng(0).standard_normal((size, 64 * WORDS), dtype=np.float32)


def alike(
    vectors: np.ndarray,
    shadows: np.ndarray,
    homes: np.ndarray,
    guests: np.ndarray,
    floor: float,
    *,
    among: bool = True,
) -> Pairs:
    """The pairs of a guest and a home, and (`among`) of two homes, whose similarity is at least `floor`.

    Args:
        vectors: float32 [n d], of unit length.
        shadows: their projections, float32 [n, 64 * WORDS].
        homes: places in `vectors`, int64.
        guests: others.
    """
    from stages.duplicates.counting import screen

    if not len(homes) or len(homes) + len(guests) < 2:
        return NONE
    members = np.concatenate([homes, guests])
    middle = vectors[members[:_AT_ONCE]].mean(axis=0)  # any point near them would do
    bits, radii = _seen_from(middle, vectors, shadows, members)
    by_radius = np.argsort(radii[: len(homes)], kind="stable")
    order = np.concatenate([by_radius, np.arange(len(homes), len(members))])
    members, radii, bits = members[order], radii[order], bits[:, order]
    found = np.empty((_ROOM, 2), np.int32)
    kept, start, first = [], 0, 0
    while start < len(homes):
        count, start, first = screen(
            bits, radii, len(homes), among, 1 - floor + _SLACK, SPREAD, start, first, found
        )
        kept.append(verified(vectors, members[found[:count]], floor))
    return Pairs(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))


def verified(vectors: np.ndarray, pairs: np.ndarray, floor: float) -> Pairs:
    """Those of the pairs, int64 [n 2], whose similarity, rounded, is at least `floor`."""
    from stages.duplicates.counting import products

    similarity = np.empty(len(pairs))
    products(vectors, pairs, similarity)
    similarity = np.round(similarity, DIGITS)
    enough = similarity >= floor
    return Pairs(pairs[enough, 0], pairs[enough, 1], similarity[enough])


def _seen_from(
    middle: np.ndarray, vectors: np.ndarray, shadows: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The signs of the members, less the middle, as words, uint64 [WORDS n]; and their distances from it."""
    bits, squares = np.empty((WORDS, len(members)), np.uint64), np.empty(len(members))
    shadow, along = middle @ directions(len(middle)), float(middle @ middle)
    for start in range(0, len(members), _AT_ONCE):
        here, now = members[start : start + _AT_ONCE], slice(start, start + _AT_ONCE)
        bits[:, now] = np.packbits(shadows[here] > shadow, axis=1).view(np.uint64).T
        squares[now] = 1 - 2 * (vectors[here] @ middle) + along
    return bits, np.sqrt(np.maximum(squares, 0))
