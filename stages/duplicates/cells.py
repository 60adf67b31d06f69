"""Cells: the room of vectors parted by centroids, so that only vectors of near cells are compared.

A vector is at home in the cell of its nearest centroid, and a guest in those that an alike vector may
be at home in: where the nearest centroid is nearer by no more than a likely difference between alike
vectors makes up for. In a cell homes are compared with homes and with guests, never guests with guests.
"""

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST = 12  # cells of a vector
_LIKELY = 4.0  # deviations of a random difference that a guest's reach covers
_BLOCK = 1024  # vectors at a time, always: products of other shapes may differ in the last digit
_SAMPLE = 64  # of a sample's vectors per centroid
_ROUNDS = 8  # of k-means


@dataclass(frozen=True)
class Cells:
    """Fitted cells.

    Attributes:
        centroids: float32 [k d], of unit length.
        groups: the group that each cell is settled in, int32 [k].
        splits: parts that a cell is split into; those of more than one are groups by themselves, int32 [k].
        room: dimensions among which differences spread.
        floor: the lowest similarity that counts.
        kind: how the vectors were made.
    """

    centroids: np.ndarray
    groups: np.ndarray
    splits: np.ndarray
    room: float
    floor: float
    kind: str = ""

    @cached_property
    def reach(self) -> np.ndarray:
        """How much less similar than the home's another centroid may be, float32 [k k].

        Vectors of similarity s differ by sqrt(2 - 2 s) in some direction, whose part along the line
        between two centroids, 2 - 2 c apart, has a deviation of the product of both by sqrt(room).
        """
        apart = np.sqrt(np.maximum(2 - 2 * self.centroids @ self.centroids.T, 0))
        step = _LIKELY * np.sqrt(max(2 - 2 * self.floor, 0) / self.room)
        return (step * apart).astype(np.float32)

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """The cells of vectors [n d]: int32 [n MOST], the home first, -1 where there are no more."""
        from stages.duplicates.counting import near_cells

        found = np.empty((len(vectors), MOST), np.int32)
        block = np.zeros((_BLOCK, vectors.shape[1]), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            here = vectors[start : start + _BLOCK]
            block[: len(here)] = here
            near_cells((block @ self.centroids.T)[: len(here)], self.reach, found[start : start + len(here)])
        return found

    def saved(self) -> bytes:
        out = io.BytesIO()
        np.savez(
            out, centroids=self.centroids, groups=self.groups, splits=self.splits,
            room=self.room, floor=self.floor, kind=self.kind,
        )  # fmt: skip
        return out.getvalue()


def read_cells(data: bytes) -> Cells:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return Cells(
            centroids=found["centroids"],
            groups=found["groups"],
            splits=found["splits"],
            room=float(found["room"]),
            floor=float(found["floor"]),
            kind=str(found["kind"]),
        )


def fit_cells(sample: np.ndarray, rows: int, floor: float, group_rows: int, kind: str = "") -> Cells:
    """Cells for `rows` vectors like those of the sample, float32 [n d].

    Their number grows with the root of the rows, which makes finding the cell of a vector about as dear
    as comparing it with those there. Neighbouring cells are put into groups of about `group_rows` members.
    """
    count = max(1, min(round(np.sqrt(rows) / 2), len(sample) // 4)) if rows > group_rows // 8 else 1
    centroids = _means(sample, count)
    spread = np.linalg.eigvalsh(np.cov(sample.astype(np.float64), rowvar=False)) if len(sample) > 1 else None
    room = 1.0 if spread is None or not spread.sum() > 0 else spread.sum() ** 2 / (spread**2).sum()
    bare = Cells(centroids, np.zeros(count, np.int32), np.ones(count, np.int32), float(room), floor)
    of_sample = bare.of(sample)
    members = np.bincount(of_sample[of_sample >= 0], minlength=count) * (rows / max(len(sample), 1))
    groups, splits = _grouped(centroids, members, group_rows)
    return Cells(centroids, groups, splits, float(room), floor, kind)


def _means(sample: np.ndarray, count: int) -> np.ndarray:
    """Unit centroids by k-means, of which one thread makes the same each time."""
    if count == 1:
        return np.zeros((1, sample.shape[1]), np.float32)
    import faiss

    means = faiss.Kmeans(
        sample.shape[1], count, seed=1, niter=_ROUNDS, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=_SAMPLE,
    )  # fmt: skip
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # sums in one order
    try:
        means.train(sample)
    finally:
        faiss.omp_set_num_threads(threads)
    return np.ascontiguousarray(means.centroids)


def _grouped(centroids: np.ndarray, members: np.ndarray, group_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The group of each cell, by a walk to the nearest one left, and the parts of cells too large for one."""
    splits = np.where(members > group_rows, np.ceil(2 * members / group_rows), 1).astype(np.int32)
    groups = np.zeros(len(centroids), np.int32)
    left = np.ones(len(centroids), bool)
    here, group, filled = 0, 0, 0.0
    for _ in range(len(centroids)):
        left[here] = False
        if filled and filled + members[here] > group_rows:
            group, filled = group + 1, 0.0
        groups[here] = group
        filled += members[here]
        if left.any():
            here = int(np.argmax(np.where(left, centroids @ centroids[here], -2)))
    return groups, splits
