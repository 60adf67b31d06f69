"""Kills processes of runs at random times, and checks that each store ends up the same, byte for byte.

    python -m benchmarks.soak [--kills 200] [--seed 0] [--store folder|s3] [--targets driver …] [--json OUT]

A run of many short parts with shards (`benchmarks.workloads.faults.made_clips`) is killed and started again
until it is done; then the next store begins, until `--kills` kills have hit. The targets are: the driver, a
worker, the raylet, the GCS, everything (SIGKILL each), and the process group of the driver (SIGTERM). Each
kill must end the run with the right exit code and without a traceback, or, of a worker, not end it. All
processes must end too; the agents of Ray, which do no work, do so 60 s after their GCS. All tables and shards
of each finished store must equal those of an uninterrupted run, whose store is valid: its row counts balance.
Otherwise the exit code is 1, and the logs are kept.
"""

import argparse
import logging
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.workloads.faults import made_clips
from benchmarks.workloads.faults.killed_run import EXIT_CODES, KilledRun, table_digests, wait_for_ends
from benchmarks.workloads.local_s3 import CREDENTIALS, local_s3
from benchmarks.workloads.printing import table, write_json
from manifests.catalog import tables_of
from manifests.stores import open_store
from manifests.verbs.validation import check

_ROOT = Path(__file__).parents[1]
_ENDS_S = 300.0  # seconds in which a run must end whose process was killed; at its start, Ray starts again
_NO_START = "Ray did not start on this machine"
_START_SHARE = 0.3  # share of the kills that may hit the start of a run; the others wait for its first part


@dataclass
class Kill:
    """One kill.

    Attributes:
        target: What was killed.
        after_s: When, in seconds after the start of the run.
        exit_code: Of the run.
        ended_s: Seconds until the run had ended; of a worker, until the next part was finished.
        gone_s: Seconds until all processes of Ray had ended, except its agents.
        resumed_s: Seconds from the start of the next run to its first part.
    """

    target: str
    after_s: float
    exit_code: int | None = None
    ended_s: float = 0.0
    gone_s: float = 0.0
    resumed_s: float | None = None


class Soak:
    """Kills runs.

    Attributes:
        kills: All kills that hit.
        faults: What went wrong.
        stores: Number of stores.
        failed_starts: Runs that ended, as they should, because Ray did not start on a busy machine.
    """

    def __init__(self, folder: Path, url: str, rng: random.Random, targets: list[str]) -> None:
        self.folder, self.url, self.rng, self.targets = folder, url, rng, targets
        self.kills: list[Kill] = []
        self.faults: list[str] = []
        self.stores = self.failed_starts = 0
        self.expected: dict[str, str] = {}
        self.total_s = self.work_s = 0.0

    def measure(self) -> None:
        """Run once without interruption."""
        run = KilledRun(made_clips.__file__, f"{self.url}/reference", self.folder / "reference.log")
        start_s = run.wait_for_new_part() or 0.0
        if run.wait(600):
            raise SystemExit((self.folder / "reference.log").read_text())
        self.total_s, self.work_s = run.elapsed_s, run.elapsed_s - start_s
        store = open_store(run.url)
        faults = check(store, tables_of(store)).faults
        if faults:
            raise SystemExit(str(faults[0]))
        self.expected = table_digests(run.url)

    def one_store(self, max_kills: int) -> None:
        """Kill the runs of a new store until one of them is done, or until there are enough kills."""
        url, log = f"{self.url}/store-{self.stores}", self.folder / f"store-{self.stores}.log"
        self.stores += 1
        last: Kill | None = None
        while True:
            run = KilledRun(made_clips.__file__, url, log)
            while len(self.kills) < max_kills and (kill := self._kill(run, last)):
                self.kills.append(kill)
                print(f"{len(self.kills)} {url.rpartition('/')[2]} {_words(kill)}", flush=True)
                if kill.target != "worker":
                    last = kill
                    break
                last = None
            else:
                code = run.wait(600)
                if code == 1 and _NO_START in run.output():
                    self.failed_starts += 1
                    continue
                if code:
                    self._fault(f"{log.name}: exit code {code} of a run that nothing ended")
                break
        self._check(url, log)

    def _kill(self, run: KilledRun, last: Kill | None) -> Kill | None:
        """Kill something at a random time; None if the run is done before."""
        target = self.rng.choice(self.targets)
        seconds = self.rng.uniform(0, self.total_s)
        if target == "worker" or self.rng.random() > _START_SHARE:
            seconds = self.rng.uniform(0, self.work_s)
            new_s = run.wait_for_new_part()
            if last and new_s is not None:
                last.resumed_s = new_s
        if not run.sleep(seconds):
            return None
        processes = run.processes(target, self.rng)
        if not processes:
            return None
        kill = Kill(target, run.elapsed_s)
        everything = run.all_processes()
        run.kill(processes, target)
        began_s = time.monotonic()
        if target == "worker":
            run.wait_for_new_part()
            kill.ended_s = time.monotonic() - began_s
            return kill
        kill.exit_code = run.wait(_ENDS_S)
        kill.ended_s = time.monotonic() - began_s
        alive = wait_for_ends(everything, _ENDS_S)
        kill.gone_s = time.monotonic() - began_s
        self._judge(kill, run, alive)
        return kill

    def _judge(self, kill: Kill, run: KilledRun, alive: list[psutil.Process]) -> None:
        wrong = []
        if kill.exit_code not in EXIT_CODES[kill.target]:
            wrong.append(f"exit code {kill.exit_code}")
        if "Traceback" in run.output() or "Fatal Python error" in run.output():
            wrong.append("a traceback")
        if kill.exit_code == 1 and "\nerror: " not in f"\n{run.output()}":
            wrong.append("no error message")
        if alive:
            wrong.append(f"processes stay: {', '.join(process.name() for process in alive)}")
        for what in wrong:
            self._fault(f"kill {len(self.kills) + 1} ({_words(kill)}): {what}")

    def _fault(self, what: str) -> None:
        self.faults.append(what)
        print(f"fault: {what}", flush=True)

    def _check(self, url: str, log: Path) -> None:
        found = table_digests(url)
        names = {*found, *self.expected}
        differing = sorted(name for name in names if found.get(name) != self.expected.get(name))
        if differing:
            self._fault(f"{log.name}: {len(differing)} files differ, such as {differing[0]}")
            return
        print(f"{url.rpartition('/')[2]}: {len(found)} files are equal", flush=True)
        if not url.startswith("s3:"):
            shutil.rmtree(url)


def _words(kill: Kill) -> str:
    return " ".join(
        f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}"
        for name, value in asdict(kill).items()
        if value is not None
    )


def _summary(kills: list[Kill]) -> str:
    rows = []
    for target in EXIT_CODES:
        own = [kill for kill in kills if kill.target == target]
        if own:
            codes = ", ".join(sorted({str(kill.exit_code) for kill in own if kill.exit_code is not None}))
            times = ([k.ended_s for k in own], [k.gone_s for k in own], [k.resumed_s for k in own])
            rows.append((target, len(own), codes or "goes on", *map(_median_and_max, times)))
    header = (
        "killed",
        "kills",
        "exit codes",
        "run ended / next part",
        "processes gone",
        "resumed: first part",
    )
    return table(header, rows)


def _median_and_max(seconds: list[float] | list[float | None]) -> str:
    known = [value for value in seconds if value]
    return f"{statistics.median(known):.1f} s (max {max(known):.1f})" if known else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", choices=("folder", "s3"), default="folder")
    parser.add_argument("--targets", nargs="*", default=list(EXIT_CODES), choices=EXIT_CODES)
    parser.add_argument("--json")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(_ROOT), os.environ.get("PYTHONPATH")) if p)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with local_s3() if args.store == "s3" else nullcontext("") as endpoint:
        url = str(folder)
        if endpoint:
            import s3fs

            os.environ |= {
                "AWS_ENDPOINT_URL": endpoint,
                "XDG_CACHE_HOME": str(folder / "cache"),
                **CREDENTIALS,
            }
            s3fs.S3FileSystem().mkdir("soak")
            url = "s3://soak"
        soak = Soak(folder, url, random.Random(args.seed), args.targets)
        soak.measure()
        print(f"uninterrupted: {soak.total_s:.0f} s, {len(soak.expected)} files of tables", flush=True)
        while len(soak.kills) < args.kills:
            soak.one_store(args.kills)
    print(f"\n{_summary(soak.kills)}\n\n{soak.stores} stores, {len(soak.faults)} faults")
    print(f"Ray did not start {soak.failed_starts} times")
    write_json(args.json, {"kills": [asdict(kill) for kill in soak.kills], "faults": soak.faults})
    if soak.faults:
        print(f"logs: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
