"""Deciding again about a million clips: what a changed threshold costs, by a run and by `try`.

    python -m benchmarks.replay [--clips 1000000] [--json OUT]

A store is filled with clips as they stand after measuring (no video is there: numbers are drawn), and
`curate`'s rules decide about them once. Then the first of them gets another threshold, so that all of
them decide again: by `clipmill run` inline, as it is (it starts Ray for what ten seconds did not settle), on
a Ray that is up, and by `clipmill try`. Then the same of shots, with as many places where one may end.
Seconds of the whole command, from starting Python to its last line; and seconds of CPU, which do not
depend on who else uses the machine (not known of Ray's workers).
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

from benchmarks.measured import measured
from benchmarks.printing import table, write_json
from benchmarks.scored import PLACES
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part
from pipeline.engine.steps.finalize import begin, close
from pipeline.engine.task import Task
from pipeline.planning.plan import Step, plan_of

RECIPE, SHOTS = (str(Path(__file__).with_name(name)) for name in ("measured.py", "scored.py"))
GOAL_S = 10.0  # for a million clips, or fewer


def fill(folder: Path, clips: int, per_part: int) -> None:
    """Write the tables that a source and the measuring stages would have left."""
    plan = plan_of(measured(clips, per_part), FolderStore(folder), "fill")
    steps = [step for step in plan if step.kind in ("source", "layer")]
    parts = -(-clips // per_part)
    rng = np.random.default_rng(0)
    for step in steps:
        begin(plan, step)
    for number in range(parts):
        first, count = number * per_part, min(per_part, clips - number * per_part)
        for step in steps:
            entered = 0 if step.kind == "source" else count
            row_counts = RowCounts(rows_in=entered, passed=entered, rows_out=count)
            rows = _drawn(step, first, count, rng)
            write_part(plan.store, f"{step.folder}/{part_name(number)}", rows, row_counts)
    for step in steps:
        close(plan, step, Task(step.name, "close", parts))


def _drawn(step: Step, first: int, count: int, rng: np.random.Generator) -> pa.Table:
    """Rows of a part: ids and names made from numbers, seconds up to a minute, shares between 0 and 1."""
    columns = []
    for column in step.schema:
        if column.name == "id":
            columns.append([f"{(first + i) * 0x9E3779B97F4A7C15 % 2**80:020x}" for i in range(count)])
        elif pa.types.is_string(column.type):
            columns.append([f"films/{(first + i) // 40:06d}.mp4" for i in range(count)])
        else:
            columns.append(rng.random(count) * (60 if column.name.endswith("_s") else 1))
    return pa.table(columns, schema=step.schema)


def command(*words: str) -> None:
    """The command in a process of its own."""
    subprocess.run([sys.executable, "-m", "pipeline.cli", *words], check=True, stdout=subprocess.DEVNULL)


def in_a_ray_that_is_up(*words: str) -> Callable[[], None]:
    """The command in this process, on the cluster that it is connected to."""

    def act() -> None:
        from pipeline.cli import main

        if main(list(words)):
            raise RuntimeError(f"failed: {' '.join(words)}")

    return act


def timed(act: Callable[[], None], *, cpu: bool = True) -> dict[str, float | None]:
    started, before = time.monotonic(), _cpu_s()
    act()
    return {"total_s": time.monotonic() - started, "cpu_s": _cpu_s() - before if cpu else None}


def _cpu_s() -> float:
    """CPU of the child processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def decide_again(folder: Path, knobs: list[str]) -> dict[str, dict[str, float | None]]:
    """What each way took, each with a threshold of its own, so that none finds what another left."""
    from pipeline.executors.on_ray.cluster import cluster

    def words(verb: str, min_highlight_luma: float, *more: str) -> list[str]:
        return [verb, RECIPE, f"store={folder}", *knobs, f"min_highlight_luma={min_highlight_luma}", *more]

    found = {
        "run --inline": timed(lambda: command(*words("run", 0.02, "--inline", "--quiet"))),
        "run": timed(lambda: command(*words("run", 0.03, "--quiet")), cpu=False),
    }
    with cluster(None, 0):
        found["run, Ray up"] = timed(in_a_ray_that_is_up(*words("run", 0.04, "--quiet")), cpu=False)
    found["try, all rules"] = timed(lambda: command(*words("try", 0.05)))
    found["try, the last rule"] = timed(lambda: command(*words("try", 0.01, "min_information=0.02")))
    return found


def find_again(folder: Path, clips: int) -> dict[str, dict[str, float | None]]:
    """The same of shots: their threshold is raised, and raised again."""
    knobs = [f"store={folder}", f"videos={-(-clips // PLACES)}", "videos_per_part=100"]
    command("run", SHOTS, *knobs, "--inline", "--quiet")
    return {
        "shots: run --inline": timed(
            lambda: command("run", SHOTS, *knobs, "cut=0.55", "--inline", "--quiet")
        ),
        "shots: run": timed(lambda: command("run", SHOTS, *knobs, "cut=0.6", "--quiet"), cpu=False),
        "shots: try": timed(lambda: command("try", SHOTS, *knobs, "cut=0.65")),
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
        fill(folder / "measured", args.clips, args.per_part)
        command("run", RECIPE, f"store={folder / 'measured'}", *knobs, "--inline", "--quiet")
        found = decide_again(folder / "measured", knobs) | find_again(folder / "scored", args.clips)
    lines: list[tuple[Any, ...]] = [
        (way, f"{args.clips:,}", _seconds(took["total_s"]), _seconds(took["cpu_s"]), _met(took, GOAL_S))
        for way, took in found.items()
    ]
    print(table(("decide again", "clips", "total", "CPU", f"goal {GOAL_S:g} s"), lines))
    write_json(args.json, {"clips": args.clips, "goal_s": GOAL_S, "ways": found})


def _seconds(spent: float | None) -> str:
    return "·" if spent is None else f"{spent:.1f} s"


def _met(took: dict[str, float | None], goal_s: float) -> str:
    late_s = (took["total_s"] or 0.0) - goal_s
    return "met" if late_s < 0 else f"missed by {late_s:.1f} s"


if __name__ == "__main__":
    main()
