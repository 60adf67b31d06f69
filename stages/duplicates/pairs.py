"""Finds the similar pairs of unit vectors: sign bits select candidates, and double precision decides.

The bits of a vector are the signs of its projections on random directions, after the mean of its cell is
subtracted. The probability that a bit differs between two vectors is angle / pi (Goemans and Williamson,
JACM 1995; Charikar, STOC 2002), for any data, so the number of differing bits estimates the angle. A pair is
a candidate where this number is at most `STDS` standard deviations above its expected value at the lowest
similarity that counts. Comparing 256 bits takes 0.5 ns, comparing 512 numbers 12 ns.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

WORDS = 8  # of 64 bits per vector; the first half is compared first
STDS = 3.0  # standard deviations: misses 0.1 % of pairs at the lowest similarity, hardly any 0.02 above it
DIGITS = 6  # decimal places of a similarity: later ones differ between machines
_SLACK = 1e-4  # upper bound of the error of single precision
_BUFFER_PAIRS = 1 << 20  # candidates that are collected before they are verified
_BATCH_ROWS = 1 << 12  # vectors processed at a time: they stay in the cache


class Pairs(NamedTuple):
    """Pairs of vectors: the index of both, and their cosine similarity, rounded to `DIGITS` places."""

    first: np.ndarray  # int64 [n]
    second: np.ndarray  # int64 [n]
    similarity: np.ndarray  # float64 [n]


NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@lru_cache(maxsize=2)
def random_directions(size: int) -> np.ndarray:
    """Random directions, float32 [size, 64 * WORDS], the same each time."""
    return np.random.default_rng(0).standard_normal((size, 64 * WORDS), dtype=np.float32)


def find_pairs(
    vectors: np.ndarray,
    projections: np.ndarray,
    primaries: np.ndarray,
    secondaries: np.ndarray,
    min_similarity: float,
    *,
    among_primaries: bool = True,
) -> Pairs:
    """The pairs of a primary and a secondary vector whose similarity is at least `min_similarity`.

    Args:
        vectors: float32 [n d], of unit length.
        projections: of the vectors on `random_directions`, float32 [n, 64 * WORDS].
        primaries: indices into `vectors`, int64.
        secondaries: other indices into `vectors`, int64.
        min_similarity: lowest cosine similarity of a pair.
        among_primaries: whether pairs of two primary vectors are searched for as well.
    """
    from stages.duplicates.kernels import screen_pairs

    if not len(primaries) or len(primaries) + len(secondaries) < 2:
        return NO_PAIRS
    members = np.concatenate([primaries, secondaries])
    center = vectors[members[:_BATCH_ROWS]].mean(axis=0)  # any point near the vectors would do
    bits, radii = _sign_bits(center, vectors, projections, members)
    by_radius = np.argsort(radii[: len(primaries)], kind="stable")
    order = np.concatenate([by_radius, np.arange(len(primaries), len(members))])
    members, radii, bits = members[order], radii[order], bits[:, order]
    found = np.empty((_BUFFER_PAIRS, 2), np.int32)
    max_distance = 1 - min_similarity + _SLACK
    verified, start, first = [], 0, 0
    while start < len(primaries):
        count, start, first = screen_pairs(
            bits, radii, len(primaries), among_primaries, max_distance, STDS, start, first, found
        )
        verified.append(verify_pairs(vectors, members[found[:count]], min_similarity))
    return Pairs(*(np.concatenate(parts) for parts in zip(*verified, strict=True)))


def verify_pairs(vectors: np.ndarray, pairs: np.ndarray, min_similarity: float) -> Pairs:
    """Those of the pairs, int64 [n 2], whose rounded similarity is at least `min_similarity`."""
    similarity = similarity_of(vectors, pairs)
    similar = similarity >= min_similarity
    return Pairs(pairs[similar, 0], pairs[similar, 1], similarity[similar])


def similarity_of(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The cosine similarity of each of the pairs, int64 [n 2], rounded to `DIGITS` places, float64 [n]."""
    from stages.duplicates.kernels import dot_products

    similarity = np.empty(len(pairs))
    dot_products(vectors, pairs, similarity)
    return np.round(similarity, DIGITS)


def _sign_bits(
    center: np.ndarray, vectors: np.ndarray, projections: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sign bits of the members relative to the center, uint64 [WORDS n], and their distances from it."""
    bits, squares = np.empty((WORDS, len(members)), np.uint64), np.empty(len(members))
    center_projection, center_square = center @ random_directions(len(center)), float(center @ center)
    for start in range(0, len(members), _BATCH_ROWS):
        batch, columns = members[start : start + _BATCH_ROWS], slice(start, start + _BATCH_ROWS)
        signs = projections[batch] > center_projection
        bits[:, columns] = np.packbits(signs, axis=1).view(np.uint64).T
        squares[columns] = 1 - 2 * (vectors[batch] @ center) + center_square
    return bits, np.sqrt(np.maximum(squares, 0))
