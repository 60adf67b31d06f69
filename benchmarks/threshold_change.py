"""Measures the time to change a threshold for a million clips, with `clipmill run` and `clipmill try`.

    python -m benchmarks.threshold_change [--clips 1000000] [--json OUT]

A store is filled with measured clips (without videos; the values are random), and the rules of `curate`
are applied once. Then the first rule gets another threshold, so that all rules are applied again: with
`clipmill run --inline`, with `clipmill run` (it starts Ray after 10 s), with `clipmill run` on a running
Ray cluster, and with `clipmill try`. Then the same for shots, with equally many candidate boundaries.
The times are seconds of the whole command, from the start of Python to its last line, and seconds of CPU,
which do not depend on the load of the machine (not available for the workers of Ray).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.workloads.printing import table, write_json
from benchmarks.workloads.synthetic_clips import synthetic_clips
from benchmarks.workloads.synthetic_shots import BOUNDARIES
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part
from pipeline.engine.steps.finalize import begin_table, close_table
from pipeline.engine.task import Task
from pipeline.planning.plan import Step, build_plan

RECIPE, SHOTS = (
    str(Path(__file__).parent / "workloads" / name) for name in ("synthetic_clips.py", "synthetic_shots.py")
)
GOAL_S = 10.0  # for up to a million clips


def fill(folder: Path, clips: int, per_part: int) -> None:
    """Write the tables of the source and of the measuring stages, without running them."""
    plan = build_plan(synthetic_clips(clips, per_part), FolderStore(folder), "fill")
    steps = [step for step in plan if step.kind in ("source", "layer")]
    parts = -(-clips // per_part)
    rng = np.random.default_rng(0)
    for step in steps:
        begin_table(plan, step)
    for number in range(parts):
        first, count = number * per_part, min(per_part, clips - number * per_part)
        for step in steps:
            rows_in = 0 if step.kind == "source" else count
            row_counts = RowCounts(rows_in=rows_in, passed=rows_in, rows_out=count)
            rows = _random_rows(step, first, count, rng)
            write_part(plan.store, f"{step.folder}/{part_name(number)}", rows, row_counts)
    for step in steps:
        close_table(plan, step, Task(step.name, "close", parts))


def _random_rows(step: Step, first: int, count: int, rng: np.random.Generator) -> pa.Table:
    """Random rows of a part: times from 0 to 60 s, other values from 0 to 1; ids and names from numbers."""
    columns = []
    for column in step.schema:
        if column.name == "id":
            columns.append([f"{(first + i) * 0x9E3779B97F4A7C15 % 2**80:020x}" for i in range(count)])
        elif pa.types.is_string(column.type):
            columns.append([f"films/{(first + i) // 40:06d}.mp4" for i in range(count)])
        else:
            columns.append(rng.random(count) * (60 if column.name.endswith("_s") else 1))
    return pa.table(columns, schema=step.schema)


def run_command(*args: str) -> None:
    """Run `clipmill` in a new process."""
    subprocess.run([sys.executable, "-m", "pipeline.cli", *args], check=True, stdout=subprocess.DEVNULL)


def in_this_process(*args: str) -> Callable[[], None]:
    """Run `clipmill` in this process, on the Ray cluster that it is connected to."""

    def run() -> None:
        from pipeline.cli import main

        if main(list(args)):
            raise RuntimeError(f"failed: {' '.join(args)}")

    return run


def timed(run: Callable[[], None], *, cpu: bool = True) -> dict[str, float | None]:
    started, before = time.monotonic(), _cpu_s()
    run()
    return {"total_s": time.monotonic() - started, "cpu_s": _cpu_s() - before if cpu else None}


def _cpu_s() -> float:
    """CPU seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def change_clip_threshold(folder: Path, knobs: list[str]) -> dict[str, dict[str, float | None]]:
    """The times of each command. Each uses another threshold, so that none reuses results of another."""
    from pipeline.executors.on_ray.cluster import cluster

    def args(verb: str, threshold: float, *more: str) -> list[str]:
        return [verb, RECIPE, f"store={folder}", *knobs, f"min_highlight_luma={threshold}", *more]

    times = {
        "run --inline": timed(lambda: run_command(*args("run", 0.02, "--inline", "--quiet"))),
        "run": timed(lambda: run_command(*args("run", 0.03, "--quiet")), cpu=False),
    }
    with cluster(None, 0):
        times["run, Ray started"] = timed(in_this_process(*args("run", 0.04, "--quiet")), cpu=False)
    times["try, all rules"] = timed(lambda: run_command(*args("try", 0.05)))
    times["try, the last rule"] = timed(lambda: run_command(*args("try", 0.01, "min_information=0.02")))
    return times


def change_shot_threshold(folder: Path, clips: int) -> dict[str, dict[str, float | None]]:
    """The times for shots, whose threshold is raised several times."""
    knobs = [f"store={folder}", f"videos={-(-clips // BOUNDARIES)}", "videos_per_part=100"]
    run_command("run", SHOTS, *knobs, "--inline", "--quiet")
    run = ["run", SHOTS, *knobs]
    return {
        "shots: run --inline": timed(lambda: run_command(*run, "min_cut_score=0.55", "--inline", "--quiet")),
        "shots: run": timed(lambda: run_command(*run, "min_cut_score=0.6", "--quiet"), cpu=False),
        "shots: try": timed(lambda: run_command("try", SHOTS, *knobs, "min_cut_score=0.65")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--per-part", type=int, default=4_000)
    parser.add_argument("--json")
    args = parser.parse_args()
    knobs = [f"clips={args.clips}", f"clips_per_part={args.per_part}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "clips", args.clips, args.per_part)
        run_command("run", RECIPE, f"store={folder / 'clips'}", *knobs, "--inline", "--quiet")
        times = change_clip_threshold(folder / "clips", knobs) | change_shot_threshold(
            folder / "shots", args.clips
        )
    lines: list[tuple[Any, ...]] = [
        (name, f"{args.clips:,}", _seconds(t["total_s"]), _seconds(t["cpu_s"]), _goal(t, GOAL_S))
        for name, t in times.items()
    ]
    print(table(("command", "clips", "total", "CPU", f"goal {GOAL_S:g} s"), lines))
    write_json(args.json, {"clips": args.clips, "goal_s": GOAL_S, "commands": times})


def _seconds(seconds: float | None) -> str:
    return "·" if seconds is None else f"{seconds:.1f} s"


def _goal(times: dict[str, float | None], goal_s: float) -> str:
    excess_s = (times["total_s"] or 0.0) - goal_s
    return "met" if excess_s < 0 else f"missed by {excess_s:.1f} s"


if __name__ == "__main__":
    main()
