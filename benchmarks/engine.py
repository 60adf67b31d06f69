"""Measures the engine: its cost per part, its share of the CPU, closing, scaling, and a changed threshold.

    python -m benchmarks.engine [--parts 200] [--repeats 3] [--rows 1000000] [--long-s 1] [--json OUT]
    python -m benchmarks.engine --many-parts 20000

A chain of three stages with one row per part runs in four ways, which alternate: in this process (`Inline`);
on Ray with a process for each step (`own actors`); on Ray with actors that all steps share (`OnRay`); and as
the last, with stages that wait 1 s. "driver" and "all" are the CPU of this process and of all processes of
the run. Then tables of several sizes are closed, a stage that only computes runs on one and on two workers,
and a rule is applied with another threshold to a table of many rows, whose number must not increase the
memory of the driver. Numbers are medians; the machine may be shared, so compare lines and not runs.
`--many-parts` measures only one long run: two chains of three stages on Ray, with so many parts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
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

_LOOPS = 10_000_000  # about half a second of CPU


class FirstPart:
    """Records when the first and the last part were done, and the driver's resident memory in bytes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first_s = self.last_s = 0.0
        self.max_bytes = self.start_bytes = psutil.Process().memory_info().rss

    def observe(self, schedule: Schedule) -> None:
        now_s = time.monotonic() - self.started
        later = [p for name, p in schedule.steps.items() if name != "ticks"]
        if not self.first_s and any(p.done for p in later):
            self.first_s = now_s
        if not self.last_s and all(p.has_all_parts for p in later):
            self.last_s = now_s
        self.max_bytes = max(self.max_bytes, psutil.Process().memory_info().rss)


def chain(parts: int, *, own_actors: bool = False, **settings: Any) -> Dag:
    """A chain of three stages. With `own_actors`, no two steps share a process."""
    dag = Dag("chain")
    rows = dag.read(Ticks(count=parts), rows_per_part=1)
    for stage in (WorkFirst(**settings), WorkSecond(**settings), WorkThird(**settings)):
        rows = rows.annotate(stage.on(workers=1000) if own_actors else stage)
    dag.save(rows, "rows")
    return dag


def two_chains(parts: int) -> Dag:
    """Six steps behind one source: two chains of three stages."""
    dag = Dag("two_chains")
    source = dag.read(Ticks(count=parts), rows_per_part=1)
    for name in ("one", "two"):
        rows = source
        for stage in (WorkFirst(), WorkSecond(), WorkThird()):
            rows = rows.annotate(stage.on(name=f"{type(stage).__name__.lower()}_{name}"))
        dag.save(rows, name)
    return dag


def cpu_s() -> tuple[float, float]:
    """CPU seconds so far of this process, and of it and all its descendants."""
    own = psutil.Process()
    driver = own.cpu_times()
    total = driver.user + driver.system
    for process in own.children(recursive=True):
        try:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        except psutil.NoSuchProcess:
            continue
    return driver.user + driver.system, total


def run_chain(executor: Executor, dag: Dag) -> dict[str, float]:
    """Seconds and CPU seconds of one run."""
    with tempfile.TemporaryDirectory() as store:
        driver, total = cpu_s()
        observer = FirstPart()
        schedule = executor.run(build_plan(dag, FolderStore(store), "r"), observer)
        total_s = time.monotonic() - observer.started
        driver_end, total_end = cpu_s()
        return {
            "total_s": total_s,
            "first_part_s": observer.first_s,
            "close_s": total_s - observer.last_s if observer.last_s else 0.0,
            "driver_cpu_s": driver_end - driver,
            "all_cpu_s": total_end - total,
            "workers": sum(work.workers for work in schedule.nodes.values()),
        }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def cost_per_part(parts: int, repeats: int, long_s: float) -> list[dict[str, Any]]:
    """The cost of the engine in four ways, which alternate."""
    few = max(50, parts // 25)  # enough that the start of the workers counts little
    ways: dict[str, tuple[Callable[[], Executor], Dag, int, float]] = {
        "Inline": (Inline, chain(parts), parts, 0.0),
        "OnRay, own actors": (OnRay, chain(parts, own_actors=True), parts, 0.0),
        "OnRay": (OnRay, chain(parts), parts, 0.0),
        f"OnRay, {long_s:g} s a stage": (OnRay, chain(few, wait_s=long_s), few, long_s),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (executor, dag, _, _) in ways.items():
            runs[name].append(run_chain(executor(), dag))
    results = []
    for name, (_, _, count, stage_s) in ways.items():
        found = medians(runs[name])
        tasks = 3 * count
        results.append(
            {
                "way": name, "parts": count, **found,
                "ms_per_part_and_stage": 1000 * (found["total_s"] - found["first_part_s"]) / tasks,
                "driver_ms": 1000 * found["driver_cpu_s"] / tasks,
                "all_ms": 1000 * found["all_cpu_s"] / tasks,
                "driver_share": found["driver_cpu_s"] / tasks / stage_s if stage_s else None,
                "all_share": found["all_cpu_s"] / tasks / stage_s if stage_s else None,
            }
        )  # fmt: skip
    return results


def scaling(repeats: int) -> dict[str, float]:
    """How much faster two workers are than one, for a stage that only computes. They alternate."""
    runs: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers in runs:
            found = run_chain(OnRay(workers=workers), chain(40, loops=_LOOPS))
            runs[workers].append(found["total_s"] - found["first_part_s"])
    one, two = (statistics.median(runs[workers]) for workers in (1, 2))
    return {"one_s": one, "two_s": two, "speedup": one / two}


def closing(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """Seconds to close a table, which must grow with the number of its parts and not faster."""
    results = []
    for parts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            fill(FolderStore(folder), parts, parts)
            filled = time.monotonic()
            plan = build_plan(rule_dag(parts, 0), FolderStore(folder), "r")
            Inline().run(plan, FirstPart())
            rule = next(step for step in plan if step.kind == "drops")
            plan.store.remove(f"{rule.folder}/manifest.json")
            begin = time.monotonic()
            close_table(plan, rule, Task(rule.name, "close", parts))
            end = time.monotonic()
            results.append({"parts": parts, "fill_s": filled - started, "close_s": end - begin})
    return results


def ray_start_s() -> float:
    """Seconds until a local Ray cluster is ready."""
    started = time.monotonic()
    with cluster(None, 0):
        return time.monotonic() - started


def rule_dag(parts: int, min_n: float) -> Dag:
    """A rule on a table that `fill` has written."""
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
        counts = RowCounts(rows_out=per_part)
        write_part(store, f"{step.folder}/{part_name(number)}", table, counts, durable=False)
    close_table(plan, step, Task("ticks", "close", parts))


def change_threshold(rows: int, parts: int = 100) -> list[dict[str, Any]]:
    """Apply a rule with one threshold, then with another, with the inline executor and on Ray."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(folder)
        fill(store, parts, rows)
        executors: dict[str, Executor] = {"inline": Inline(), "on_ray": OnRay()}
        for number, (name, executor) in enumerate(executors.items()):
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


def print_all(found: dict[str, Any]) -> None:
    print(f"a local Ray cluster is ready after {found['ray_start_s']:.1f} s\n")
    head = ("run", "parts", "total", "first part", "closing", "per part and stage", "driver", "all CPU")
    print(table(head, [_cost_row(r) for r in found["parts"]]))
    for r in found["parts"]:
        if r["driver_share"] is not None:
            print(f"{r['way']}: CPU {r['driver_share']:.1%} in the driver, {r['all_share']:.1%} in all")
    one_s, two_s, speedup = found["scaling"].values()
    print(f"\nscaling: 1 worker {one_s:.1f} s, 2 workers {two_s:.1f} s: {speedup:.2f}x\n")
    print(
        table(
            ("parts", "to close a table"), [(c["parts"], f"{c['close_s']:.2f} s") for c in found["closing"]]
        )
    )
    print()
    rows = [
        (
            r["executor"], f"{r['rows']:,}", f"{r['total_s']:.2f} s",
            f"{r['rows_per_s']:,.0f}", f"{r['driver_growth_mb']:.0f} MB",
        )
        for r in found["rules"]
    ]  # fmt: skip
    print(table(("executor", "rows", "total", "rows/s", "driver memory growth"), rows))


def _cost_row(r: dict[str, Any]) -> tuple[Any, ...]:
    times = [f"{r[name]:.2f} s" for name in ("total_s", "first_part_s", "close_s")]
    costs = [f"{r[name]:.2f} ms" for name in ("ms_per_part_and_stage", "driver_ms", "all_ms")]
    return (r["way"], r["parts"], *times, *costs)


def print_many_parts(parts: int) -> None:
    """Run six steps of many parts once."""
    with cluster(None, 0):
        found = run_chain(OnRay(), two_chains(parts))
    made_s = found["total_s"] - found["first_part_s"] - found["close_s"]
    print(f"{parts:,} parts x 6 steps: {found['total_s']:.0f} s, {parts / made_s:.0f} parts a second")
    print(f"per part and step: {1000 * made_s / parts / 6:.2f} ms, CPU in the driver ", end="")
    print(f"{1000 * found['driver_cpu_s'] / parts / 6:.2f} ms; CPU of all {found['all_cpu_s']:.0f} s")
    print(f"closing after the last part: {found['close_s']:.1f} s; {found['workers']} worker processes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long-s", type=float, default=1.0)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--close-parts", type=int, nargs="*", default=[500, 2000])
    parser.add_argument("--many-parts", type=int)
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.many_parts:
        print_many_parts(args.many_parts)
        return
    found: dict[str, Any] = {"ray_start_s": ray_start_s()}
    with cluster(None, 0):
        found["parts"] = cost_per_part(args.parts, args.repeats, args.long_s)
        found["scaling"] = scaling(args.repeats)
        found["rules"] = [line for rows in args.rows for line in change_threshold(rows)]
    found["closing"] = closing(tuple(args.close_parts))
    print_all(found)
    write_json(args.json, found)


if __name__ == "__main__":
    main()
