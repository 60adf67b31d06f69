"""Measures the cost of a kill: rows processed again, and the time until the first new part.

    python -m benchmarks.resume [--times 5] [--films brief rotated …] [--json OUT]

Synthetic videos are curated to shards and encoded to latents, once without interruption. Then, for each
target ("driver", "worker" or "all": the driver and every process of Ray), `--times` runs with new stores
are killed with SIGKILL at a random time and run again to the end. A row is processed again if an attempt
had started and not finished it. The shards and latents of every resumed run must equal those of the
uninterrupted run byte for byte; otherwise the benchmark fails.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.workloads.printing import table, write_json
from stages.footage.draw import draw

RECIPE = Path(__file__).parents[1] / "stages" / "recipes" / "latents.py"
TARGETS = ("driver", "worker", "all")
FILMS = ("brief", "variable_rate", "rotated")


def start(footage: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "run",
        str(RECIPE),
        f"footage={footage}",
        f"store={store}",
    ]
    log = (store.parent / f"{store.name}.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def shards(store: Path) -> dict[str, str]:
    """SHA-256 of every shard of clips and of latents, and of their indexes, by name."""
    files = sorted(p for p in store.glob("pack_*/*/**/*") if p.is_file() and p.suffix in (".tar", ".parquet"))
    outputs = [p for p in files if p.parts[len(store.parts) + 1] in ("shards", "latents")]
    return {
        p.relative_to(store / p.relative_to(store).parts[0]).as_posix(): hashlib.sha256(
            p.read_bytes()
        ).hexdigest()
        for p in outputs
    }


def parts(store: Path) -> int:
    return sum(1 for _ in store.glob("*/part-*.parquet"))


def processes(driver: int, target: str) -> list[psutil.Process]:
    """The processes to kill."""
    all_processes = [psutil.Process(driver), *psutil.Process(driver).children(recursive=True)]
    if target == "driver":
        return all_processes[:1]
    if target == "worker":
        return [p for p in all_processes if "ray::Actor" in " ".join(p.cmdline())][-1:]  # of the newest pool
    return all_processes


def kill_and_resume(
    target: str, footage: Path, store: Path, total_s: float, expected: dict[str, str], kill_at: float
) -> dict[str, Any]:
    """Kill one run after the share `kill_at` of the time of an uninterrupted run, and finish it."""
    driver = start(footage, store)
    started = time.monotonic()
    killed: list[psutil.Process] = []
    while driver.poll() is None and not killed:
        time.sleep(0.05)
        if time.monotonic() - started >= kill_at * total_s:
            try:
                killed = processes(driver.pid, target)
            except psutil.NoSuchProcess:
                break
    for process in killed:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    if target == "worker":
        driver.wait()
        first_s = 0.0
    else:
        driver.wait()
        time.sleep(1.0)  # workers end shortly after their driver
        before, restarted = parts(store), time.monotonic()
        driver = start(footage, store)
        while driver.poll() is None and parts(store) == before:
            time.sleep(0.05)
        first_s = time.monotonic() - restarted
        driver.wait()
    runs = sorted((store / "runs").iterdir())
    rows = json.loads((runs[-1] / "timings.json").read_text()).get("rows", {})
    return {
        "target": target,
        "kill_at": kill_at,
        "killed": len(killed),
        "reprocessed": sum(step["reprocessed"] for step in rows.values()),
        "resumed": sum(step["resumed"] for step in rows.values()),
        "processed": sum(step["processed"] for step in rows.values()),
        "first_part_s": first_s,
        "equal": driver.returncode == 0 and shards(store) == expected,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--films", nargs="*", default=FILMS)
    parser.add_argument("--targets", nargs="*", default=TARGETS, choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        p for p in (str(RECIPE.parents[2]), os.environ.get("PYTHONPATH")) if p
    )
    rng, results = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as folder:
        footage = Path(folder) / "footage"
        draw(footage, films=args.films)
        started = time.monotonic()
        reference = start(footage, Path(folder) / "reference")
        if reference.wait():
            print((Path(folder) / "reference.log").read_text(), file=sys.stderr)
            return 1
        total_s, expected = time.monotonic() - started, shards(Path(folder) / "reference")
        rows = json.loads(next((Path(folder) / "reference/runs").glob("*/timings.json")).read_text())["rows"]
        total = sum(step["processed"] for step in rows.values())
        print(
            f"uninterrupted: {total_s:.0f} s, {total} rows processed, {len(expected)} shard files", flush=True
        )
        for target in args.targets:
            for number in range(args.times):
                store = Path(folder) / f"{target}-{number}"
                kill_at = rng.uniform(0.15, 0.6)
                results.append(kill_and_resume(target, footage, store, total_s, expected, kill_at))
                print(results[-1], flush=True)
    lines = []
    for target in args.targets:
        own = [r for r in results if r["target"] == target]
        lines.append(
            (
                target,
                len(own),
                sum(bool(r["killed"]) for r in own),
                f"{statistics.mean(r['reprocessed'] for r in own):.1f} of {total}",
                max(r["reprocessed"] for r in own),
                "-" if target == "worker" else f"{statistics.median(r['first_part_s'] for r in own):.1f} s",
                f"{sum(r['equal'] for r in own)} of {len(own)}",
            )
        )
    print()
    print(
        table(
            ("killed", "runs", "hits", "rows processed again", "max", "first new part", "shards equal"), lines
        )
    )
    write_json(args.json, {"uninterrupted_s": total_s, "rows": total, "runs": results})
    return 0 if all(r["equal"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
