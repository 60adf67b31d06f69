"""What the engine costs: per part, to start, and to decide again about millions of rows.

    python -m benchmarks.engine [--parts 200] [--rows 1000000 10000000] [--json OUT]

Three stages in a chain, one row per part, that do nothing or wait 50 ms; inline and on Ray, in turn
in one run. Then one rule over a table of a million and ten million rows, decided again with
another threshold: rows per second, and what the driver's memory grew by (it must not grow with rows).
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.idle import Ticks, WorkFirst, WorkSecond, WorkThird
from benchmarks.printing import table, write_json
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin, close
from pipeline.engine.task import Task
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import plan_of


class FirstPart:
    """Notes when the first part of the first stage stood, and the driver's memory."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first_s = 0.0
        self.most_bytes = self.least_bytes = psutil.Process().memory_info().rss

    def look(self, schedule: Schedule) -> None:
        done = [p.done for name, p in schedule.steps.items() if name != "ticks"]
        if not self.first_s and any(done):
            self.first_s = time.monotonic() - self.started
        self.most_bytes = max(self.most_bytes, psutil.Process().memory_info().rss)


def chain(parts: int, wait_s: float) -> Dag:
    dag = Dag("chain")
    rows = dag.read(Ticks(count=parts), rows_per_part=1)
    for stage in (WorkFirst(wait_s=wait_s), WorkSecond(wait_s=wait_s), WorkThird(wait_s=wait_s)):
        rows = rows.annotate(stage)
    dag.save(rows, "rows")
    return dag


def run_chain(executor: Executor, parts: int, wait_s: float) -> tuple[float, float]:
    """Seconds in all, and until the first part stood."""
    with tempfile.TemporaryDirectory() as store:
        watch = FirstPart()
        executor.run(plan_of(chain(parts, wait_s), FolderStore(store), "r"), watch)
        return time.monotonic() - watch.started, watch.first_s


def cost_per_part(parts: int, repeats: int) -> list[dict[str, Any]]:
    """Inline and Ray in turn; the cost is what a part takes beyond its own waiting, shared by the cores."""
    found = []
    for wait_s, count in ((0.0, parts), (0.05, max(20, parts // 4))):
        runs: dict[str, list[tuple[float, float]]] = {"inline": [], "on_ray": []}
        for _ in range(repeats):
            runs["inline"].append(run_chain(Inline(), count, wait_s))
            runs["on_ray"].append(run_chain(OnRay(), count, wait_s))
        for name, times in runs.items():
            total_s, first_s = (statistics.median(values) for values in zip(*times, strict=True))
            found.append(
                {
                    "executor": name,
                    "stage_ms": wait_s * 1000,
                    "parts": count,
                    "total_s": total_s,
                    "first_part_s": first_s,
                    "ms_per_part_and_stage": 1000 * (total_s - first_s) / (3 * count),
                }
            )
    return found


def start_up() -> float:
    """Seconds until a local Ray answers."""
    started = time.monotonic()
    with cluster(None, 0):
        return time.monotonic() - started


def decided(parts: int, least: float) -> Dag:
    dag = Dag("decide")
    dag.save(dag.read(Ticks(count=0), rows_per_part=parts).keep(f"n >= {least}", because="small"), "kept")
    return dag


def fill(store: FolderStore, parts: int, rows: int) -> None:
    """Write a source's table of `parts` parts as the source itself would have written it."""
    plan = plan_of(decided(parts, 0), store, "r")
    step = plan["ticks"]
    begin(plan, step)
    per_part = rows // parts
    rng = np.random.default_rng(0)
    for number in range(parts):
        ids = [f"{number * per_part + i:020x}" for i in range(per_part)]
        made = pa.table([pa.array(ids), pa.array(rng.integers(0, 1000, per_part))], schema=step.schema)
        write_part(store, f"{step.folder}/{part_name(number)}", made, RowCounts(rows_out=per_part))
    close(plan, step, Task("ticks", "close", parts))


def redecide(rows: int, parts: int = 100) -> list[dict[str, Any]]:
    """Decide with one threshold, then with another, inline and on Ray."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(folder)
        fill(store, parts, rows)
        for number, (name, executor) in enumerate({"inline": Inline(), "on_ray": OnRay()}.items()):
            plan = plan_of(decided(parts, 100 * (number + 1)), store, "r")
            watch = FirstPart()
            executor.run(plan, watch)
            total_s = time.monotonic() - watch.started
            found.append(
                {
                    "executor": name,
                    "rows": rows,
                    "total_s": total_s,
                    "rows_per_s": rows / total_s,
                    "driver_growth_mb": (watch.most_bytes - watch.least_bytes) / 2**20,
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--json")
    args = parser.parse_args()
    cold_s = start_up()
    with cluster(None, 0):
        parts = cost_per_part(args.parts, args.repeats)
        rules = [line for rows in args.rows for line in redecide(rows)]
    print(f"a local Ray answers after {cold_s:.1f} s\n")
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
            ("decide again", "rows", "total", "rows/s", "driver grew"),
            [
                (
                    r["executor"], f"{r['rows']:,}", f"{r['total_s']:.2f} s",
                    f"{r['rows_per_s']:,.0f}", f"{r['driver_growth_mb']:.0f} MB",
                )
                for r in rules
            ],
        )
    )  # fmt: skip
    write_json(args.json, {"ray_start_s": cold_s, "parts": parts, "rules": rules})


if __name__ == "__main__":
    main()
