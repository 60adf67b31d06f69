"""Drawn vectors with planted duplicates, as the table of a recipe that searches them; and two other searches.

Topics of very unequal sizes (Zipf), vectors of a topic at a cosine near 0.6, and for 5 % of them a copy at
0.99, 0.95 or 0.92. Inside a topic all directions are equally likely, so that clusters help little.
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
from pipeline.engine.steps.finalize import begin, close
from pipeline.engine.task import Task
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, plan_of
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs

SIMILARITIES = (0.99, 0.95, 0.92)
SIZE, TOPICS, COPIED_SHARE, TOPIC_COSINE = 512, 2000, 0.05, 0.6
_AT_ONCE = 1 << 16


class Drawn(NamedTuple):
    vectors: np.ndarray  # float32 [n d], of unit length
    pairs: np.ndarray  # places of the planted pairs, int64 [n 2]
    similarity: np.ndarray  # of each, float64 [n]


class VectorRow(Row):
    id: str = column("made from its number")
    embedding: Vector = column("drawn, of unit length", unit="1")
    embedding_kind: str = column("drawn")
    pictures_sha256: str = column("as the id")
    width_px: int = column("width", unit="px")
    height_px: int = column("height", unit="px")
    sharpness: float = column("drawn", unit="1/px")
    start_s: float = column("start", unit="s")
    end_s: float = column("end", unit="s")


class DrawnVectors(Source[VectorRow]):
    """Its table is written by the benchmark."""

    count: int

    def rows(self) -> Iterator[VectorRow]:
        raise NotImplementedError("the benchmark writes this table")


def drawn(count: int, seed: int = 0) -> Drawn:
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((TOPICS, SIZE), np.float32))
    weights = 1 / np.arange(1, TOPICS + 1)
    copies = int(count * COPIED_SHARE)
    first = count - copies
    topics = rng.choice(TOPICS, first, p=weights / weights.sum())
    vectors = np.empty((count, SIZE), np.float32)
    for start in range(0, first, _AT_ONCE):
        mine = topics[start : start + _AT_ONCE]
        noise = _unit(rng.standard_normal((len(mine), SIZE), np.float32))
        seen = TOPIC_COSINE**0.5 * centres[mine] + (1 - TOPIC_COSINE) ** 0.5 * noise
        vectors[start : start + len(mine)] = _unit(seen)
    copied = rng.choice(first, copies, replace=False)
    similarity = np.asarray(SIMILARITIES)[rng.integers(0, len(SIMILARITIES), copies)]
    noise = rng.standard_normal((copies, SIZE), np.float32)
    noise = _unit(noise - (noise * vectors[copied]).sum(axis=1, keepdims=True) * vectors[copied])
    near = similarity.astype(np.float32)[:, None]
    vectors[first:] = near * vectors[copied] + np.sqrt(1 - near**2) * noise
    order = rng.permutation(count)
    place = np.argsort(order)
    return Drawn(vectors[order], np.stack([place[copied], place[first:]], axis=1), similarity)


def _unit(vectors: np.ndarray) -> np.ndarray:
    made: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


def recipe(count: int, rows_per_part: int, floor: float, threshold: float) -> Dag:
    dag = Dag("duplicates")
    rows = dag.read(DrawnVectors(count=count), rows_per_part=rows_per_part)
    searched = rows.survey(SearchPairs(floor=floor))
    dag.save(searched.survey(FindDuplicates(threshold=threshold)), "clips")
    return dag


def ids_of(count: int) -> list[str]:
    return [id_of(number) for number in range(count)]


def fill(plan: Plan, vectors: np.ndarray, rows_per_part: int) -> None:
    """Write the table of the vectors, as its source would have."""
    step = plan["drawn_vectors"]
    begin(plan, step)
    rng = np.random.default_rng(1)
    for number, start in enumerate(range(0, len(vectors), rows_per_part)):
        here = vectors[start : start + rows_per_part]
        count = len(here)
        offsets = pa.array(np.arange(count + 1) * here.shape[1], pa.int32())
        ids = [id_of(n) for n in range(start, start + count)]
        said = {
            "id": pa.array(ids, pa.string()),
            "embedding": pa.ListArray.from_arrays(offsets, pa.array(here.ravel())),
            "embedding_kind": pa.repeat("drawn", count),
            "pictures_sha256": pa.array(ids, pa.string()),
            "width_px": pa.repeat(640, count),
            "height_px": pa.repeat(360, count),
            "sharpness": pa.array(rng.random(count)),
            "start_s": pa.repeat(0.0, count),
            "end_s": pa.repeat(4.0, count),
        }
        table = pa.table([said[f.name].cast(f.type) for f in step.schema], schema=step.schema)
        write_part(plan.store, f"{step.folder}/{part_name(number)}", table, RowCounts(rows_out=count))
    close(plan, step, Task(step.name, "close", -(-len(vectors) // rows_per_part)))


class Clock:
    """Watches a run: CPU seconds of each step and phase, noted when the next one begins."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._since, self._what = time.process_time(), "start"

    def look(self, schedule: object) -> None:
        busy = [f"{n} {p.phase}" for n, p in schedule.steps.items() if p.busy]  # type: ignore[attr-defined]
        now = time.process_time()
        self.spent[self._what] = self.spent.get(self._what, 0.0) + now - self._since
        self._since, self._what = now, busy[0] if busy else self._what


def plan_at(folder: Path, count: int, rows_per_part: int, floor: float, threshold: float) -> Plan:
    return plan_of(recipe(count, rows_per_part, floor, threshold), FolderStore(folder), "r")


def run(plan: Plan) -> dict[str, float]:
    """CPU seconds of each phase of each step."""
    clock = Clock()
    assert Inline().run(plan, clock).finished
    clock.look(Inline().run(plan, Clock()))
    return clock.spent


def exact(vectors: np.ndarray, queries: np.ndarray, floor: float) -> tuple[set[tuple[int, int]], float]:
    """All pairs of the queries (places) with any vector, and the CPU seconds of finding them."""
    began, found = time.process_time(), set()
    for start in range(0, len(queries), 256):
        here = queries[start : start + 256]
        for from_ in range(0, len(vectors), 8192):
            alike = vectors[here] @ vectors[from_ : from_ + 8192].T
            one, other = np.nonzero(alike >= floor)
            for a, b in zip(here[one].tolist(), (other + from_).tolist(), strict=True):
                if a != b:
                    found.add((min(a, b), max(a, b)))
    return found, time.process_time() - began


def flat(vectors: np.ndarray, clusters: int, floor: float) -> tuple[set[tuple[int, int]], float]:
    """One k-means pass, one cluster each, all pairs in each; and its CPU seconds."""
    import faiss

    faiss.omp_set_num_threads(1)
    began = time.process_time()
    rng = np.random.default_rng(1)
    sample = vectors[rng.choice(len(vectors), min(len(vectors), 64 * clusters), replace=False)]
    means = faiss.Kmeans(
        vectors.shape[1], clusters, niter=10, seed=1, spherical=True, max_points_per_centroid=64
    )
    means.train(sample)
    homes = np.concatenate(
        [np.argmax(vectors[s : s + 4096] @ means.centroids.T, axis=1) for s in range(0, len(vectors), 4096)]
    )
    order, found = np.argsort(homes, kind="stable"), set()
    edges = np.searchsorted(homes[order], np.arange(clusters + 1))
    for cluster in range(clusters):
        mine = order[edges[cluster] : edges[cluster + 1]]
        inside = vectors[mine]
        for start in range(0, len(mine), 1024):
            one, other = np.nonzero(inside[start : start + 1024] @ inside[start:].T >= floor)
            found |= {
                (int(min(mine[start + a], mine[start + b])), int(max(mine[start + a], mine[start + b])))
                for a, b in zip(one, other, strict=True)
                if a < b
            }
    return found, time.process_time() - began
