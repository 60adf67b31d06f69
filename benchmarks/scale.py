"""Measures a curation without pixels, and what it costs with ten million videos.

    python -m benchmarks.scale [--videos 2000] [--clips 50] [--store DIR] [--skip-s3] [--json OUT]

Videos are listed, measured and cut into clips; clips are scored, dropped by two rules, compared and packed.
The run is on a local Ray; a verb is a new process on the finished store. Requests are counted at a local S3
server (moto) in three small runs, which differ in their parts and in the groups of the comparison and the
survey. At last, the measured figures are extrapolated to 10 million videos and 500 million clips.

parts        parts of each step: files of rows, without the files that rows name
driver       growth of the resident memory of the driver, at its peak
s, MB        time and peak memory of a verb
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.s3_requests import METHODS, Requests, counted_s3
from benchmarks.workloads.extrapolation import VIDEO_BYTES, VIDEOS, extrapolate, parts_of_source
from benchmarks.workloads.printing import table, write_json
from benchmarks.workloads.scaled_rows import FindCopies, Pack, Videos, scaled_rows
from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_number
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.groups.batches import batch_count
from pipeline.engine.task import TaskResult
from pipeline.executor import Executor
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.history.run_history import read_history
from pipeline.planning.plan import build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

RECIPE = "benchmarks/workloads/scaled_rows.py"
_VERB = """
import re, sys
from pipeline.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


class Driver:
    """Watches the memory of this process while a run goes on, and when each step was done."""

    def __init__(self) -> None:
        self.start_bytes = self.max_bytes = psutil.Process().memory_info().rss
        self.started, self.start_cpu_s = time.monotonic(), time.process_time()
        self.done_s: dict[str, float] = {}

    def observe(self, schedule: Schedule) -> None:
        self.max_bytes = max(self.max_bytes, psutil.Process().memory_info().rss)
        for name, progress in schedule.steps.items():
            if progress.is_complete:
                self.done_s.setdefault(name, time.monotonic() - self.started)


@dataclass(frozen=True)
class Size:
    """The knobs of the recipe."""

    videos: int
    clips: int
    compared_rows: int = 20_000
    packed_rows: int = 5_000

    def knobs(self) -> dict[str, str]:
        return {name: str(value) for name, value in vars(self).items()}


def run(size: Size, store: str, executor: Executor, driver: Driver) -> None:
    request = RunRequest(RECIPE, size.knobs(), store)
    run_dag(request.dag(), store, executor=executor, observer=driver, request=request)


def measure_run(size: Size, store: str) -> dict[str, Any]:
    """A run on Ray: its time, the memory of the driver, and the files of each step."""
    driver = Driver()
    run(size, store, OnRay(), driver)
    seconds = time.monotonic() - driver.started
    history = read_history(open_store(store))
    files: dict[str, list[tuple[str, int]]] = {step.folder: [] for step in history}
    for file in history.store.files():
        folder, _, inside = file.name.partition("/")
        if folder in files:
            files[folder].append((inside, file.size_bytes))
    steps = []
    for step in history:
        own = [(n, size) for n, size in files[step.folder] if not n.startswith("artifacts/")]
        parts = [size for name, size in own if part_number(name) is not None]
        rows = sum(counts.rows_out for counts in history.row_counts(step.name).values())
        manifest = next(size for name, size in own if name == "manifest.json")
        steps.append(
            {
                "step": step.name, "rows": rows, "parts": len(parts), "files": len(own),
                "bytes": sum(parts), "manifest_bytes": manifest, "done_s": driver.done_s[step.name],
            }
        )  # fmt: skip
    grown = driver.max_bytes - driver.start_bytes
    cpu_s = time.process_time() - driver.start_cpu_s
    return {"seconds": seconds, "driver_bytes": grown, "driver_cpu_s": cpu_s, "steps": steps}


def measure_verbs(size: Size, store: str) -> list[dict[str, Any]]:
    """Time and memory of each verb, in a process of its own."""
    history = read_history(open_store(store))
    clips = next(step for step in history if step.kind == "children")
    last = max(history.row_counts(clips.name))
    row = history._ids(f"{clips.folder}/part-{last:06d}.parquet")[-1]
    knobs = [f"{name}={value}" for name, value in size.knobs().items()]
    changed = [*knobs, "min_score=0.2"]
    at = f"store={store}"
    commands = {
        "plan": ["plan", RECIPE, at, *knobs],
        "plan, changed threshold": ["plan", RECIPE, at, *changed],
        "status": ["status", at],
        "report": ["report", at],
        "explain": ["explain", row, at],
        "table --csv": ["table", at, "--csv", f"{store}.csv"],
        "gc": ["gc", at, "--keep", "1"],
    }
    return [{"verb": name, **measure_command(arguments)} for name, arguments in commands.items()]


def measure_command(arguments: list[str]) -> dict[str, float]:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _VERB, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"clipmill {' '.join(arguments)} failed: {done.stderr}")
    peak_kb = int(done.stderr.split()[-1])
    return {"seconds": time.monotonic() - started, "peak_bytes": peak_kb * 1024}


def measure_requests() -> dict[str, dict[str, float]]:
    """The requests of a run: once, for each part, and for each part and batch of a survey or comparison."""
    few, many = Size(8, 5), Size(24, 5)
    grouped = Size(many.videos, many.clips, 12, 12)
    with counted_s3() as requests:
        counts = [count_requests(requests, number, size) for number, size in enumerate((few, many, grouped))]
    found: dict[str, dict[str, float]] = {"once": {}, "per part": {}, "per part and batch": {}}
    (first, parts), (second, more_parts), (third, same_parts) = counts
    for method in METHODS:
        per_part = (second[method] - first[method]) / (more_parts - parts)
        batches = 2 * many.videos * many.clips // grouped.packed_rows  # of the comparison and the survey
        found["once"][method] = second[method] - per_part * more_parts
        found["per part"][method] = per_part
        found["per part and batch"][method] = (third[method] - second[method]) / (same_parts * batches)
    return found


def count_requests(requests: Requests, number: int, size: Size) -> tuple[Counter[str], int]:
    """The requests of a run, and the number of parts of a step."""
    import s3fs

    s3fs.S3FileSystem().mkdir(f"scale-{number}")
    store = f"s3://scale-{number}/store"
    counts = requests.of(lambda: run(size, store, Inline(), Driver()))
    history = read_history(open_store(store))
    return counts, len(history.row_counts(next(iter(history)).name))


def measure_schedule(parts: int) -> dict[str, float]:
    """Memory and CPU of the driver for a run of so many parts, of which no row is processed."""
    with tempfile.TemporaryDirectory() as folder:
        schedule = Schedule(build_plan(scaled_rows(), FolderStore(folder), "r"))
        batches = tuple(f"batch-{number:04d}" for number in range(batch_count(parts)))
        start_bytes, start_s, tasks = psutil.Process().memory_info().rss, time.process_time(), 0
        while not schedule.is_finished:
            task = schedule.take()
            assert task is not None
            counts = RowCounts(rows_in=50, passed=50, rows_out=50) if task.phase == "part" else None
            groups = batches[task.number % len(batches) :][:16] if task.phase == "assign" else ()
            schedule.finish(task, TaskResult(row_counts=counts, parts=parts, groups=groups))
            tasks += 1
        used_s, grown = time.process_time() - start_s, psutil.Process().memory_info().rss - start_bytes
        return {"parts": parts, "tasks": tasks, "cpu_s": used_s, "bytes": grown}


class CountedStore(FolderStore):
    """A store that counts reads."""

    reads = 0

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        self.reads += 1
        return super().read(name, start, size)

    def local(self, name: str) -> AbstractContextManager[Path]:
        self.reads += 1
        return super().local(name)


def measure_reads(parts: int, groups: int) -> list[dict[str, Any]]:
    """The reads of a survey and of a comparison, whose groups have rows in all parts."""
    found = []
    for name, stage in {"survey": Pack(group_rows=parts), "comparison": FindCopies(group_rows=parts)}.items():
        with tempfile.TemporaryDirectory() as folder:
            store, dag = CountedStore(folder), Dag(name)
            rows = dag.read(Videos(count=parts * groups), rows_per_part=groups)
            dag.save(rows.survey(stage), "rows")
            started = time.monotonic()
            Inline().run(build_plan(dag, store, "r"), Driver())
            found.append(
                {
                    "step": name, "parts": parts, "groups": groups, "reads": store.reads,
                    "per_part_and_group": store.reads / parts / groups, "s": time.monotonic() - started,
                }
            )  # fmt: skip
    return found


def print_run(found: dict[str, Any]) -> None:
    head = ("step", "rows", "parts", "files", "MB", "MB of manifest", "done after")
    rows = [
        (
            s["step"], f"{s['rows']:,}", f"{s['parts']:,}", f"{s['files']:,}", f"{s['bytes'] / 1e6:,.1f}",
            f"{s['manifest_bytes'] / 1e6:.2f}", f"{s['done_s']:.0f} s",
        )
        for s in found["steps"]
    ]  # fmt: skip
    print(table(head, rows))
    print(
        f"\nrun: {found['seconds']:.0f} s; driver: {found['driver_cpu_s']:.0f} s of CPU, "
        f"{found['driver_bytes'] / 1e6:.0f} MB of memory more\n"
    )


def print_verbs(verbs: list[dict[str, Any]]) -> None:
    rows = [(v["verb"], f"{v['seconds']:.1f}", f"{v['peak_bytes'] / 1e6:.0f}") for v in verbs]
    print(table(("verb", "s", "MB"), rows))


def print_requests(found: dict[str, dict[str, float]]) -> None:
    rows = [(what, *(f"{counts[method]:.2f}" for method in METHODS)) for what, counts in found.items()]
    print("\n" + table(("requests", *METHODS), rows))


def print_reads(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            r["step"],
            r["parts"],
            r["groups"],
            f"{r['reads']:,}",
            f"{r['per_part_and_group']:.2f}",
            f"{r['s']:.0f}",
        )
        for r in found
    ]
    print("\n" + table(("step", "parts", "groups", "reads", "per part and group", "s"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=2000, help="number of videos")
    parser.add_argument("--clips", type=int, default=50, help="number of clips in each video")
    parser.add_argument("--store", help="keep the store here; a finished one is not run again")
    parser.add_argument("--skip-s3", action="store_true", help="do not count requests")
    parser.add_argument("--reads", type=int, nargs=2, metavar=("PARTS", "GROUPS"), help="count reads only")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args()
    size = Size(args.videos, args.clips)
    found: dict[str, Any] = {}
    if args.reads:
        found["reads"] = measure_reads(*args.reads)
        print_reads(found["reads"])
        write_json(args.json, found)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or str(Path(folder, "store"))
        found["run"] = measure_run(size, store)
        print_run(found["run"])
        found["verbs"] = measure_verbs(size, store)
        print_verbs(found["verbs"])
        if not args.skip_s3:
            found["requests"] = measure_requests()
            print_requests(found["requests"])
        found["schedule"] = measure_schedule(parts_of_source(VIDEOS, VIDEO_BYTES))
        print("\n" + table(("with 10 million videos", ""), extrapolate(found)))
    write_json(args.json, found)


if __name__ == "__main__":
    main()
