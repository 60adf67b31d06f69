"""Random vectors with planted duplicates, a recipe that searches them, and two other searches.

The vectors belong to topics of very unequal sizes (Zipf). The cosine similarity inside a topic is near 0.6.
5 % of the vectors have a copy with a similarity of 0.99, 0.95 or 0.92. Inside a topic all directions are
equally likely, so that clusters help little.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from manifests import Row, Vector, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part
from pipeline import Dag, Source
from pipeline.engine.steps.finalize import begin_table, close_table
from pipeline.engine.task import Task
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs

SIMILARITIES = (0.99, 0.95, 0.92)
SIZE, TOPICS, COPIED_SHARE, TOPIC_COSINE = 512, 2000, 0.05, 0.6
_BATCH_ROWS = 1 << 16


class Planted(NamedTuple):
    """Random vectors and the pairs of duplicates among them."""

    vectors: np.ndarray  # float32 [n d], of unit length
    pairs: np.ndarray  # indices of the two vectors of each planted pair, int64 [n 2]
    similarity: np.ndarray  # cosine similarity of each pair, float64 [n]


class VectorRow(Row):
    id: str = column("derived from the number of the row")
    embedding: Vector = column("random, of unit length", unit="1")
    embedding_kind: str = column("always random")
    frame_signature: bytes = column("always empty")
    stills_sha256: str = column("same as the id")
    width_px: int = column("width", unit="px")
    height_px: int = column("height", unit="px")
    sharpness: float = column("random", unit="1/px")
    start_s: float = column("start", unit="s")
    end_s: float = column("end", unit="s")


class RandomVectors(Source[VectorRow]):
    """The benchmark writes its table.

    Attributes:
        count: Number of vectors.
    """

    count: int

    def rows(self) -> Iterator[VectorRow]:
        raise NotImplementedError("the benchmark writes this table")


def plant_vectors(count: int, seed: int = 0) -> Planted:
    """Random vectors, a share of which are copies of others."""
    rng = np.random.default_rng(seed)
    centers = _unit(rng.standard_normal((TOPICS, SIZE), np.float32))
    weights = 1 / np.arange(1, TOPICS + 1)
    copies = int(count * COPIED_SHARE)
    first = count - copies
    topics = rng.choice(TOPICS, first, p=weights / weights.sum())
    vectors = np.empty((count, SIZE), np.float32)
    for start in range(0, first, _BATCH_ROWS):
        part = topics[start : start + _BATCH_ROWS]
        noise = _unit(rng.standard_normal((len(part), SIZE), np.float32))
        mixed = TOPIC_COSINE**0.5 * centers[part] + (1 - TOPIC_COSINE) ** 0.5 * noise
        vectors[start : start + len(part)] = _unit(mixed)
    copied = rng.choice(first, copies, replace=False)
    similarity = np.asarray(SIMILARITIES)[rng.integers(0, len(SIMILARITIES), copies)]
    noise = rng.standard_normal((copies, SIZE), np.float32)
    noise = _unit(noise - (noise * vectors[copied]).sum(axis=1, keepdims=True) * vectors[copied])
    cosine = similarity.astype(np.float32)[:, None]
    vectors[first:] = cosine * vectors[copied] + np.sqrt(1 - cosine**2) * noise
    order = rng.permutation(count)
    index = np.argsort(order)
    return Planted(vectors[order], np.stack([index[copied], index[first:]], axis=1), similarity)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def build_recipe(
    count: int, rows_per_part: int, min_similarity: float, max_semantic_similarity: float
) -> Dag:
    dag = Dag("duplicates")
    rows = dag.read(RandomVectors(count=count), rows_per_part=rows_per_part)
    searched = rows.survey(SearchPairs(min_similarity=min_similarity))
    dag.save(
        searched.survey(
            FindDuplicates(duplicates="semantic", max_semantic_similarity=max_semantic_similarity)
        ),
        "clips",
    )
    return dag


def ids_of(count: int) -> list[str]:
    return [id_of(number) for number in range(count)]


def write_vectors(plan: Plan, vectors: np.ndarray, rows_per_part: int) -> None:
    """Write the table of the vectors, as the source `RandomVectors` would."""
    step = plan["random_vectors"]
    begin_table(plan, step)
    rng = np.random.default_rng(1)
    for number, start in enumerate(range(0, len(vectors), rows_per_part)):
        part = vectors[start : start + rows_per_part]
        count = len(part)
        offsets = pa.array(np.arange(count + 1) * part.shape[1], pa.int32())
        ids = [id_of(n) for n in range(start, start + count)]
        columns = {
            "id": pa.array(ids, pa.string()),
            "embedding": pa.ListArray.from_arrays(offsets, pa.array(part.ravel())),
            "embedding_kind": pa.repeat("random", count),
            "frame_signature": pa.repeat(b"", count),
            "stills_sha256": pa.array(ids, pa.string()),
            "width_px": pa.repeat(640, count),
            "height_px": pa.repeat(360, count),
            "sharpness": pa.array(rng.random(count)),
            "start_s": pa.repeat(0.0, count),
            "end_s": pa.repeat(4.0, count),
        }
        table = pa.table([columns[f.name].cast(f.type) for f in step.schema], schema=step.schema)
        write_part(plan.store, f"{step.folder}/{part_name(number)}", table, RowCounts(rows_out=count))
    close_table(plan, step, Task(step.name, "close", -(-len(vectors) // rows_per_part)))


class PhaseClock:
    """Observes a run and sums the CPU seconds of each phase of each step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._since, self._phase = time.process_time(), "start"

    def observe(self, schedule: object) -> None:
        running = [f"{n} {p.phase}" for n, p in schedule.steps.items() if p.running]  # type: ignore[attr-defined]
        now = time.process_time()
        self.spent[self._phase] = self.spent.get(self._phase, 0.0) + now - self._since
        self._since, self._phase = now, running[0] if running else self._phase


def plan_search(
    folder: Path, count: int, rows_per_part: int, min_similarity: float, max_semantic_similarity: float
) -> Plan:
    return build_plan(
        build_recipe(count, rows_per_part, min_similarity, max_semantic_similarity), FolderStore(folder), "r"
    )


def run_timed(plan: Plan) -> dict[str, float]:
    """Run the plan in this process; the CPU seconds of each phase of each step."""
    clock = PhaseClock()
    assert Inline().run(plan, clock).is_finished
    clock.observe(Inline().run(plan, PhaseClock()))
    return clock.spent


def search_exact(
    vectors: np.ndarray, queries: np.ndarray, min_similarity: float
) -> tuple[set[tuple[int, int]], float]:
    """All similar pairs of the queries (indices) with any vector, and the CPU seconds of the search."""
    start_s, found = time.process_time(), set()
    for start in range(0, len(queries), 256):
        rows = queries[start : start + 256]
        for offset in range(0, len(vectors), 8192):
            similarity = vectors[rows] @ vectors[offset : offset + 8192].T
            one, other = np.nonzero(similarity >= min_similarity)
            for a, b in zip(rows[one].tolist(), (other + offset).tolist(), strict=True):
                if a != b:
                    found.add((min(a, b), max(a, b)))
    return found, time.process_time() - start_s


def search_clusters(
    vectors: np.ndarray, clusters: int, min_similarity: float
) -> tuple[set[tuple[int, int]], float]:
    """The similar pairs inside the clusters of one k-means pass, and the CPU seconds of the search."""
    import faiss

    faiss.omp_set_num_threads(1)
    start_s = time.process_time()
    rng = np.random.default_rng(1)
    sample = vectors[rng.choice(len(vectors), min(len(vectors), 64 * clusters), replace=False)]
    kmeans = faiss.Kmeans(
        vectors.shape[1], clusters, niter=10, seed=1, spherical=True, max_points_per_centroid=64
    )
    kmeans.train(sample)
    cluster_of = np.concatenate(
        [np.argmax(vectors[s : s + 4096] @ kmeans.centroids.T, axis=1) for s in range(0, len(vectors), 4096)]
    )
    order, found = np.argsort(cluster_of, kind="stable"), set()
    edges = np.searchsorted(cluster_of[order], np.arange(clusters + 1))
    for cluster in range(clusters):
        members = order[edges[cluster] : edges[cluster + 1]]
        inside = vectors[members]
        for start in range(0, len(members), 1024):
            one, other = np.nonzero(inside[start : start + 1024] @ inside[start:].T >= min_similarity)
            found |= {
                (
                    int(min(members[start + a], members[start + b])),
                    int(max(members[start + a], members[start + b])),
                )
                for a, b in zip(one, other, strict=True)
                if a < b
            }
    return found, time.process_time() - start_s
