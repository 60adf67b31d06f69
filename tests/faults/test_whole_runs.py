"""What survives what: whole runs of which processes are killed or stopped, or whose disks are full."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hanging
import psutil
import pytest
from toys import Quiet

from benchmarks.workloads.faults import made_clips
from benchmarks.workloads.faults.killed_run import EXIT_CODES, KilledRun, table_digests, wait_for_ends
from manifests.stores import open_store
from manifests.table import read_part
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

Start = Callable[..., KilledRun]
COUNT = 18
CLIPS = (f"count={COUNT}", "wait_s=0.1")
ENDS_S = 60.0  # in which a run ends, also on a busy machine
FULL = "free some disk space and run the same command again"
PRINTS = {
    "raylet": ("Ray has ended: the raylet", "run the same command again"),
    "gcs": ("Ray has ended: the GCS", "run the same command again"),
    "group": ("stopped; finished parts are kept", "continue with: clipmill run"),
}


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the tables of an uninterrupted run."""
    store = str(tmp_path_factory.mktemp("expected"))
    request = RunRequest(made_clips.__file__, {}, store)
    run_dag(made_clips.made_clips(count=COUNT), store, executor=Inline(), observer=Quiet(), request=request)
    return table_digests(store)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a run; at the end of the test, what is left of it is killed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    started: list[psutil.Process] = []

    def call(*options: str, recipe: str = made_clips.__file__) -> KilledRun:
        run = KilledRun(recipe, str(tmp_path / "store"), tmp_path / "log", *options)
        started.append(psutil.Process(run.process.pid))
        return run

    yield call
    for driver in started:
        if driver.is_running():
            for process in [*driver.children(recursive=True), driver]:
                process.kill()


def kill(run: KilledRun, target: str) -> None:
    """Kill a process, once the run has made a part."""
    assert run.wait_for_new_part() is not None, run.output()
    processes = run.processes(target, random.Random(0))
    everything = run.all_processes()
    assert processes
    run.kill(processes, target)
    code = run.wait(300 if target == "worker" else ENDS_S)
    assert code == EXIT_CODES[target][0], run.output()
    assert all(text in run.output() for text in PRINTS.get(target, ())), run.output()
    assert "Traceback" not in run.output()
    assert wait_for_ends(everything, ENDS_S) == []


def test_a_driver_that_is_killed_without_ray_is_continued(start: Start, expected: dict[str, str]) -> None:
    run = start(*CLIPS, "--inline")
    kill(run, "driver")
    assert table_digests(run.url) != expected
    assert start(CLIPS[0], "--inline").wait(ENDS_S) == 0
    assert table_digests(run.url) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", EXIT_CODES)
def test_a_run_whose_process_is_killed_is_continued(
    target: str, start: Start, expected: dict[str, str]
) -> None:
    run = start(*CLIPS)
    kill(run, target)
    if target != "worker":
        again = start(*CLIPS)
        assert again.wait(300) == 0, again.output()
    assert table_digests(run.url) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["driver", "worker", "everything"])
def test_a_run_that_is_stopped_for_a_while_goes_on(
    target: str, start: Start, expected: dict[str, str]
) -> None:
    """SIGSTOP and SIGCONT, as when a virtual machine or a laptop is suspended."""
    run = start(*CLIPS)
    assert run.wait_for_new_part() is not None, run.output()
    processes = run.processes(target, random.Random(0))
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    time.sleep(20)
    for process in processes:
        process.send_signal(signal.SIGCONT)
    assert run.wait(300) == 0, run.output()
    assert table_digests(run.url) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_row_that_hangs_is_rejected_and_the_others_are_done(start: Start) -> None:
    run = start("--row-timeout", "2", recipe=hanging.__file__)
    assert run.wait(300) == 0, run.output()
    store = open_store(run.url)
    (file,) = (name for name in store.walk() if "/rejects/" in name)
    (reject,) = read_part(store, file).to_pylist()
    assert (reject["kind"], reject["reason"]) == ("crash", "timeout: not finished after 2 s, 2 times")
    assert f"hang 1: {reject['reason']} (row {reject['id']})" in run.output()
    lines = next(Path(run.url).glob("runs/*/events.jsonl")).read_text().splitlines()
    events = [
        event for line in lines if (event := json.loads(line))["event"] in ("worker_died", "row_crashed")
    ]
    assert [event["event"] for event in events] == ["worker_died", "worker_died", "row_crashed"]
    assert events[-1]["row"] == reject["id"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_a_full_disk_is_continued_when_there_is_space(
    expected: dict[str, str], tmp_path: Path
) -> None:
    """The store is on a real file system of 1 MB, in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    command = f'"$0" -m pipeline.cli run {made_clips.__file__} store={small}/store {" ".join(CLIPS)}'
    run = f'{command}; echo "code $?"'
    script = (
        f"mount -t tmpfs -o size=1m tmpfs {small} || exit 9; {run}; "
        f"mount -o remount,size=64m {small}; {run}; cp -r {small}/store {tmp_path}/store"
    )
    done = in_own_namespace(script)
    assert [line for line in done.stdout.splitlines() if line.startswith("code ")] == ["code 1", "code 0"]
    assert FULL in done.stderr
    assert "Traceback" not in done.stderr
    assert table_digests(str(tmp_path / "store")) == expected


CACHE = """
import os, sys
from pathlib import Path
from benchmarks.workloads.faults.made_clips import made_clips
from manifests.errors import StoreFull
from manifests.stores import open_store
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from toys import Quiet

cache, fill = Path(sys.argv[1]), Path(sys.argv[1], "fill")
os.environ["XDG_CACHE_HOME"] = str(cache)
fill.write_bytes(b"x" * os.statvfs(cache).f_bavail * os.statvfs(cache).f_bsize)
plan = build_plan(made_clips(count=6), open_store("memory://full/store"), "r")
try:
    Inline().run(plan, Quiet())
except StoreFull as error:
    print(error, file=sys.stderr)
fill.unlink()
assert Inline().run(plan, Quiet()).is_finished
"""


@pytest.mark.slow
def test_a_full_folder_of_journals_is_named_and_the_run_is_continued(tmp_path: Path) -> None:
    """The journals of an object store are on the disk of the worker."""
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path} || exit 9"
    done = in_own_namespace(f"{mount}; exec \"$0\" -c '{CACHE}' {tmp_path}")
    assert done.returncode == 0, done.stderr
    assert FULL in done.stderr
    assert f"where:  {tmp_path}/" in done.stderr


def in_own_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a shell that mounts a file system; `$0` is Python."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = ["unshare", "-rm", "sh", "-c", script, sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 9:
        pytest.skip("this machine lets no user mount a small file system, so no disk can be filled")
    return done
