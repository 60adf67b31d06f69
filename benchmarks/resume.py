"""What a kill costs: work done again, and the time until the first new part, for each way to die.

    python -m benchmarks.resume [--times 5] [--films brief rotated …] [--json OUT]

Films are drawn, curated to shards and encoded to latents, once without interruption; then, for each
of "driver", "worker" and "all" (the driver and every process of Ray), `--times` runs in stores of
their own are killed with SIGKILL at a random moment, and run again to the end. A row counts as done
again if an attempt had begun it and not finished it. The shards and latents of every resumed run are
compared byte for byte with the uninterrupted run's; one difference fails the benchmark.
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

from benchmarks.printing import table, write_json
from stages.footage.draw import draw

RECIPE = Path(__file__).parents[1] / "stages" / "recipes" / "latents.py"
WAYS = ("driver", "worker", "all")
FILMS = ("brief", "variable_rate", "rotated")


def start(footage: Path, store: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "pipeline.cli", "run", str(RECIPE), f"footage={footage}", f"store={store}"]
    log = (store.parent / f"{store.name}.log").open("ab")
    return subprocess.Popen([*words, "videos_per_part=1", "--workers", "2"], stdout=log, stderr=log)


def shards(store: Path) -> dict[str, str]:
    """Digest of every shard of clips and of latents, and of their indexes, by name."""
    found = sorted(p for p in store.glob("pack_*/*/**/*") if p.is_file() and p.suffix in (".tar", ".parquet"))
    wanted = [p for p in found if p.parts[len(store.parts) + 1] in ("shards", "latents")]
    return {
        p.relative_to(store / p.relative_to(store).parts[0]).as_posix(): hashlib.sha256(
            p.read_bytes()
        ).hexdigest()
        for p in wanted
    }


def parts(store: Path) -> int:
    return sum(1 for _ in store.glob("*/part-*.parquet"))


def processes(driver: int, what: str) -> list[psutil.Process]:
    """Whom to kill."""
    every = [psutil.Process(driver), *psutil.Process(driver).children(recursive=True)]
    if what == "driver":
        return every[:1]
    if what == "worker":
        return [p for p in every if "ray::Actor" in " ".join(p.cmdline())][-1:]  # the youngest pool's
    return every


def one(
    what: str, footage: Path, store: Path, whole_s: float, wanted: dict[str, str], moment: float
) -> dict[str, Any]:
    """Kill one run at `moment` (a share of an uninterrupted run's time), and finish it."""
    driver = start(footage, store)
    started = time.monotonic()
    hit: list[psutil.Process] = []
    while driver.poll() is None and not hit:
        time.sleep(0.05)
        if time.monotonic() - started >= moment * whole_s:
            try:
                hit = processes(driver.pid, what)
            except psutil.NoSuchProcess:
                break
    for process in hit:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    if what == "worker":
        driver.wait()
        first_s = 0.0
    else:
        driver.wait()
        time.sleep(1.0)  # workers outlive their driver for a moment
        before, again = parts(store), time.monotonic()
        driver = start(footage, store)
        while driver.poll() is None and parts(store) == before:
            time.sleep(0.05)
        first_s = time.monotonic() - again
        driver.wait()
    runs = sorted((store / "runs").iterdir())
    rows = json.loads((runs[-1] / "timings.json").read_text()).get("rows", {})
    return {
        "what": what,
        "moment": moment,
        "killed": len(hit),
        "redone": sum(step["redone"] for step in rows.values()),
        "resumed": sum(step["resumed"] for step in rows.values()),
        "worked": sum(step["worked"] for step in rows.values()),
        "first_part_s": first_s,
        "equal": driver.returncode == 0 and shards(store) == wanted,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--films", nargs="*", default=FILMS)
    parser.add_argument("--what", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        p for p in (str(RECIPE.parents[2]), os.environ.get("PYTHONPATH")) if p
    )
    rng, found = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as folder:
        footage = Path(folder) / "footage"
        draw(footage, films=args.films)
        started = time.monotonic()
        alone = start(footage, Path(folder) / "alone")
        if alone.wait():
            print((Path(folder) / "alone.log").read_text(), file=sys.stderr)
            return 1
        whole_s, wanted = time.monotonic() - started, shards(Path(folder) / "alone")
        rows = json.loads(next((Path(folder) / "alone/runs").glob("*/timings.json")).read_text())["rows"]
        total = sum(step["worked"] for step in rows.values())
        print(
            f"uninterrupted: {whole_s:.0f} s, {total} rows worked on, {len(wanted)} shard files", flush=True
        )
        for what in args.what:
            for number in range(args.times):
                store = Path(folder) / f"{what}-{number}"
                found.append(one(what, footage, store, whole_s, wanted, rng.uniform(0.15, 0.6)))
                print(found[-1], flush=True)
    lines = []
    for what in args.what:
        mine = [f for f in found if f["what"] == what]
        lines.append(
            (
                what,
                len(mine),
                sum(bool(f["killed"]) for f in mine),
                f"{statistics.mean(f['redone'] for f in mine):.1f} of {total}",
                max(f["redone"] for f in mine),
                "-" if what == "worker" else f"{statistics.median(f['first_part_s'] for f in mine):.1f} s",
                f"{sum(f['equal'] for f in mine)} of {len(mine)}",
            )
        )
    print()
    print(
        table(("killed", "runs", "hit", "rows done again", "most", "first new part", "shards equal"), lines)
    )
    write_json(args.json, {"uninterrupted_s": whole_s, "rows": total, "runs": found})
    return 0 if all(f["equal"] for f in found) else 1


if __name__ == "__main__":
    sys.exit(main())
