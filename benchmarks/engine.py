"""Measures the engine: time per part, time to start, and time to apply a rule to millions of rows again.

    python -m benchmarks.engine [--parts 200] [--rows 1000000 10000000] [--json OUT]

The first part runs a chain of three stages with one row per part. The stages do nothing or wait 50 ms.
The inline executor and Ray run alternately. The second part applies one rule with another threshold to a
table of one and ten million rows. It reports rows per second and the growth of the driver's memory, which
must not grow with the number of rows.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.workloads.printing import table, write_json
from benchmarks.workloads.timed_stages import Ticks, WorkFirst, WorkSecond, WorkThird
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table, close_table
from pipeline.engine.task import Task
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import build_plan


class FirstPart:
    """Records when the first part of the first stage was done, and the driver's resident memory in bytes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first_s = 0.0
        self.max_bytes = self.start_bytes = psutil.Process().memory_info().rss

    def observe(self, schedule: Schedule) -> None:
        done = [p.done for name, p in schedule.steps.items() if name != "ticks"]
        if not self.first_s and any(done):
            self.first_s = time.monotonic() - self.started
        self.max_bytes = max(self.max_bytes, psutil.Process().memory_info().rss)


def chain(parts: int, wait_s: float) -> Dag:
    dag = Dag("chain")
    rows = dag.read(Ticks(count=parts), rows_per_part=1)
    for stage in (WorkFirst(wait_s=wait_s), WorkSecond(wait_s=wait_s), WorkThird(wait_s=wait_s)):
        rows = rows.annotate(stage)
    dag.save(rows, "rows")
    return dag


def run_chain(executor: Executor, parts: int, wait_s: float) -> tuple[float, float]:
    """Seconds in total, and until the first part was done."""
    with tempfile.TemporaryDirectory() as store:
        observer = FirstPart()
        executor.run(build_plan(chain(parts, wait_s), FolderStore(store), "r"), observer)
        return time.monotonic() - observer.started, observer.first_s


def cost_per_part(parts: int, repeats: int) -> list[dict[str, Any]]:
    """Time per part and stage, for the inline executor and Ray, which run alternately."""
    results = []
    for wait_s, count in ((0.0, parts), (0.05, max(20, parts // 4))):
        runs: dict[str, list[tuple[float, float]]] = {"inline": [], "on_ray": []}
        for _ in range(repeats):
            runs["inline"].append(run_chain(Inline(), count, wait_s))
            runs["on_ray"].append(run_chain(OnRay(), count, wait_s))
        for name, times in runs.items():
            total_s, first_s = (statistics.median(values) for values in zip(*times, strict=True))
            results.append(
                {
                    "executor": name,
                    "stage_ms": wait_s * 1000,
                    "parts": count,
                    "total_s": total_s,
                    "first_part_s": first_s,
                    "ms_per_part_and_stage": 1000 * (total_s - first_s) / (3 * count),
                }
            )
    return results


def ray_start_s() -> float:
    """Seconds until a local Ray cluster is ready."""
    started = time.monotonic()
    with cluster(None, 0):
        return time.monotonic() - started


def rule_dag(parts: int, min_n: float) -> Dag:
    dag = Dag("rule")
    dag.save(dag.read(Ticks(count=0), rows_per_part=parts).keep(f"n >= {min_n}", because="small"), "kept")
    return dag


def fill(store: FolderStore, parts: int, rows: int) -> None:
    """Write the table of a source with `parts` parts, without running the source."""
    plan = build_plan(rule_dag(parts, 0), store, "r")
    step = plan["ticks"]
    begin_table(plan, step)
    per_part = rows // parts
    rng = np.random.default_rng(0)
    for number in range(parts):
        ids = [f"{number * per_part + i:020x}" for i in range(per_part)]
        table = pa.table([pa.array(ids), pa.array(rng.integers(0, 1000, per_part))], schema=step.schema)
        write_part(store, f"{step.folder}/{part_name(number)}", table, RowCounts(rows_out=per_part))
    close_table(plan, step, Task("ticks", "close", parts))


def change_threshold(rows: int, parts: int = 100) -> list[dict[str, Any]]:
    """Apply a rule with one threshold, then with another, with the inline executor and on Ray."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(folder)
        fill(store, parts, rows)
        for number, (name, executor) in enumerate({"inline": Inline(), "on_ray": OnRay()}.items()):
            plan = build_plan(rule_dag(parts, 100 * (number + 1)), store, "r")
            observer = FirstPart()
            executor.run(plan, observer)
            total_s = time.monotonic() - observer.started
            results.append(
                {
                    "executor": name,
                    "rows": rows,
                    "total_s": total_s,
                    "rows_per_s": rows / total_s,
                    "driver_growth_mb": (observer.max_bytes - observer.start_bytes) / 2**20,
                }
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--json")
    args = parser.parse_args()
    start_s = ray_start_s()
    with cluster(None, 0):
        parts = cost_per_part(args.parts, args.repeats)
        rules = [line for rows in args.rows for line in change_threshold(rows)]
    print(f"a local Ray cluster is ready after {start_s:.1f} s\n")
    print(
        table(
            ("executor", "stage", "parts", "total", "first part", "per part and stage"),
            [
                (
                    r["executor"], f"{r['stage_ms']:.0f} ms", r["parts"], f"{r['total_s']:.2f} s",
                    f"{r['first_part_s']:.2f} s", f"{r['ms_per_part_and_stage']:.2f} ms",
                )
                for r in parts
            ],
        )
    )  # fmt: skip
    print()
    print(
        table(
            ("executor", "rows", "total", "rows/s", "driver memory growth"),
            [
                (
                    r["executor"], f"{r['rows']:,}", f"{r['total_s']:.2f} s",
                    f"{r['rows_per_s']:,.0f}", f"{r['driver_growth_mb']:.0f} MB",
                )
                for r in rules
            ],
        )
    )  # fmt: skip
    write_json(args.json, {"ray_start_s": start_s, "parts": parts, "rules": rules})


if __name__ == "__main__":
    main()
