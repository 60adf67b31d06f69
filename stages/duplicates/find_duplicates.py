"""Find clips that show what a better clip shows, and name for each a twin that is kept.

Greedy leader: the clips are taken from the best to the worst (pixels, then sharpness, then length, then id);
one whose similarity to a clip already kept reaches the threshold is a duplicate, any other is kept. So each
duplicate has a kept twin. Connected components would drop whole chains, and "drop if any better neighbour is
near" drops clips whose only neighbour is dropped too.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from manifests import Row, Vector, column
from pipeline import Needs, Survey

_CHUNK = 512  # rows compared at a time


class EmbeddedClip(Row):
    id: str
    embedding: Vector
    width_px: int
    height_px: int
    sharpness_median: float
    start_s: float
    end_s: float


class Twinned(Row):
    duplicate: bool = column("a better clip that is kept shows the same")
    twin: str | None = column("id of the most similar better clip that is kept, where this is a duplicate")
    twin_similarity: float | None = column("cosine similarity to the twin", unit="1")
    nearest_similarity: float | None = column(
        "highest cosine similarity to a better clip of the group, kept or not; null for the best", unit="1"
    )


class FindDuplicates(Survey[EmbeddedClip, Twinned]):
    """Compares all pairs inside a group. Up to `group_rows` clips are one group; more are split by k-means.

    A pair on the border between two groups is not seen.
    """

    threshold: float = 0.87  # similarity from which on two clips show the same
    group_rows: int = 5000  # rows of a group, on average

    needs = Needs(cpus=1, memory_gb=1)
    sample = 16384

    def fit(self, sample: Sequence[EmbeddedClip], totals: Mapping[str, int]) -> bytes:
        """Unit centroids, float32 [k d], as `numpy.save` writes them; empty for one group."""
        rows = totals.get("rows", 0)
        if rows <= self.group_rows:
            return _saved(np.zeros((0, 0), np.float32))
        import faiss

        vectors = np.stack([np.asarray(row.embedding, np.float32) for row in sample])
        groups = min(math.ceil(rows / self.group_rows), len(vectors))
        means = faiss.Kmeans(
            vectors.shape[1],
            groups,
            seed=1,
            spherical=True,
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # sums in one order
        try:
            means.train(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        return _saved(np.asarray(means.centroids))

    def assign(self, rows: Sequence[EmbeddedClip], fitted: bytes) -> Iterator[str]:
        """The nearest centroid; in double precision, so that a row's company does not decide."""
        centroids = np.load(io.BytesIO(fitted), allow_pickle=False).astype(np.float64)
        for row in rows:
            nearest = 0
            if len(centroids):
                nearest = int(np.argmax(centroids @ np.asarray(row.embedding, np.float64)))
            yield f"group-{nearest:06d}"

    def settle(self, group: str, rows: Sequence[EmbeddedClip], fitted: bytes) -> list[Twinned]:
        order = sorted(range(len(rows)), key=lambda i: _rank(rows[i]))
        vectors = np.stack([np.asarray(rows[i].embedding, np.float32) for i in order]).astype(np.float64)
        ids = [rows[i].id for i in order]
        kept = np.zeros(len(order), bool)
        answers: dict[int, Twinned] = {}
        for start in range(0, len(order), _CHUNK):
            chunk = vectors[start : start + _CHUNK]
            alike = np.round(chunk @ vectors[: start + len(chunk)].T, 6)  # machines differ in later digits
            for place, similar in enumerate(alike, start=start):
                answer = self._answer(similar[:place], kept[:place], ids)
                answers[order[place]], kept[place] = answer, not answer.duplicate
        return [answers[i] for i in range(len(rows))]

    def _answer(self, similar: np.ndarray, kept: np.ndarray, ids: Sequence[str]) -> Twinned:
        """The answer for a clip, given its similarity to each better one and which of them are kept."""
        if not len(similar):
            return Twinned(duplicate=False, twin=None, twin_similarity=None, nearest_similarity=None)
        best = int(np.argmax(np.where(kept, similar, -2)))
        found = bool(similar[best] >= self.threshold)
        return Twinned(
            duplicate=found,
            twin=ids[best] if found else None,
            twin_similarity=float(similar[best]) if found else None,
            nearest_similarity=float(similar.max()),
        )


def _rank(row: EmbeddedClip) -> tuple[float, float, float, str]:
    """Sorts the best clip first."""
    return -row.width_px * row.height_px, -row.sharpness_median, row.start_s - row.end_s, row.id


def _saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
