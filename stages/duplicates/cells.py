"""Cells split the vectors around centroids, so that only vectors of nearby cells are compared.

The cell of the nearest centroid is the primary cell of a vector. Its secondary cells are those that may be
the primary cell of a similar vector: their centroid is farther away by no more than a likely difference
between similar vectors. Inside a cell, primary members are compared with primary and secondary members.
Secondary members are not compared with each other.
"""

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_CELLS = 12  # cells per vector: one primary, the rest secondary
_REACH_STDS = 4.0  # standard deviations of a random difference that secondary cells cover
_BATCH_ROWS = 1024  # vectors per matrix product, always: another shape may change the last digit
_SAMPLES_PER_CENTROID = 64  # vectors that k-means uses per centroid
_KMEANS_ITERATIONS = 8


@dataclass(frozen=True)
class Cells:
    """Fitted cells.

    Attributes:
        centroids: float32 [k d], of unit length.
        groups: number of the group that settles each cell, int32 [k].
        splits: number of parts that each cell is split into, int32 [k]. Each two parts of a cell with more
            than one part are a group of their own.
        effective_dimensions: number of dimensions over which differences spread.
        min_similarity: lowest cosine similarity of a pair.
        embedding_kind: how the vectors were computed.
    """

    centroids: np.ndarray
    groups: np.ndarray
    splits: np.ndarray
    effective_dimensions: float
    min_similarity: float
    embedding_kind: str = ""

    @cached_property
    def max_similarity_gap(self) -> np.ndarray:
        """By how much a secondary centroid may be less similar than the primary one, float32 [k k].

        Two unit vectors of similarity s differ by a vector of length sqrt(2 - 2 s), in any direction. Two
        centroids of similarity c are sqrt(2 - 2 c) apart. The component of the difference along the line
        between the centroids has a standard deviation of the product of both lengths, divided by
        sqrt(effective_dimensions).
        """
        distance = np.sqrt(np.maximum(2 - 2 * self.centroids @ self.centroids.T, 0))
        step = _REACH_STDS * np.sqrt(max(2 - 2 * self.min_similarity, 0) / self.effective_dimensions)
        gap: np.ndarray = (step * distance).astype(np.float32)
        return gap

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """The cells of vectors [n d]: int32 [n MAX_CELLS], the primary cell first, unused places -1."""
        from stages.duplicates.kernels import nearest_cells

        found = np.empty((len(vectors), MAX_CELLS), np.int32)
        batch = np.zeros((_BATCH_ROWS, vectors.shape[1]), np.float32)
        for start in range(0, len(vectors), _BATCH_ROWS):
            rows = vectors[start : start + _BATCH_ROWS]
            batch[: len(rows)] = rows
            similarities = (batch @ self.centroids.T)[: len(rows)]
            nearest_cells(similarities, self.max_similarity_gap, found[start : start + len(rows)])
        return found

    def to_bytes(self) -> bytes:
        """The cells as an .npz file, which `load_cells` reads."""
        out = io.BytesIO()
        np.savez(
            out, centroids=self.centroids, groups=self.groups, splits=self.splits,
            effective_dimensions=self.effective_dimensions, min_similarity=self.min_similarity,
            embedding_kind=self.embedding_kind,
        )  # fmt: skip
        return out.getvalue()


def load_cells(data: bytes) -> Cells:
    """The cells from the bytes that `Cells.to_bytes` gave."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Cells(
            centroids=arrays["centroids"],
            groups=arrays["groups"],
            splits=arrays["splits"],
            effective_dimensions=float(arrays["effective_dimensions"]),
            min_similarity=float(arrays["min_similarity"]),
            embedding_kind=str(arrays["embedding_kind"]),
        )


def fit_cells(
    sample: np.ndarray, rows: int, min_similarity: float, group_rows: int, embedding_kind: str = ""
) -> Cells:
    """Cells for `rows` vectors that are distributed like the sample, float32 [n d].

    The number of cells grows with the square root of the rows. So it costs about as much to find the cell
    of a vector as to compare the vector with the others in that cell. Neighboring cells are combined into
    groups of about `group_rows` members.
    """
    count = max(1, min(round(np.sqrt(rows) / 2), len(sample) // 4)) if rows > group_rows // 8 else 1
    centroids = _kmeans_centroids(sample, count)
    dimensions = _effective_dimensions(sample)
    group, parts = np.zeros(count, np.int32), np.ones(count, np.int32)
    sample_cells = Cells(centroids, group, parts, dimensions, min_similarity).assign(sample)
    members = np.bincount(sample_cells[sample_cells >= 0], minlength=count) * (rows / max(len(sample), 1))
    groups, splits = _group_cells(centroids, members, group_rows)
    return Cells(centroids, groups, splits, dimensions, min_similarity, embedding_kind)


def _effective_dimensions(sample: np.ndarray) -> float:
    """The participation ratio of the variances along the principal axes; 1 without variance."""
    if len(sample) < 2:
        return 1.0
    variances = np.linalg.eigvalsh(np.cov(sample.astype(np.float64), rowvar=False))
    return float(variances.sum() ** 2 / (variances**2).sum()) if variances.sum() > 0 else 1.0


def _kmeans_centroids(sample: np.ndarray, count: int) -> np.ndarray:
    """Unit centroids by k-means, float32 [count d]; one thread computes them, so they are reproducible."""
    if count == 1:
        return np.zeros((1, sample.shape[1]), np.float32)
    import faiss

    kmeans = faiss.Kmeans(
        sample.shape[1], count, seed=1, niter=_KMEANS_ITERATIONS, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=_SAMPLES_PER_CENTROID,
    )  # fmt: skip
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # a fixed order of summation
    try:
        kmeans.train(sample)
    finally:
        faiss.omp_set_num_threads(threads)
    return np.ascontiguousarray(kmeans.centroids)


def _group_cells(
    centroids: np.ndarray, members: np.ndarray, group_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each cell, and the number of parts of each cell that is too large for one group.

    Groups are filled along a walk that always goes to the nearest unvisited centroid.
    """
    splits = np.where(members > group_rows, np.ceil(2 * members / group_rows), 1).astype(np.int32)
    groups = np.zeros(len(centroids), np.int32)
    unvisited = np.ones(len(centroids), bool)
    cell, group, filled = 0, 0, 0.0
    for _ in range(len(centroids)):
        unvisited[cell] = False
        if filled and filled + members[cell] > group_rows:
            group, filled = group + 1, 0.0
        groups[cell] = group
        filled += members[cell]
        if unvisited.any():
            cell = int(np.argmax(np.where(unvisited, centroids @ centroids[cell], -2)))
    return groups, splits
