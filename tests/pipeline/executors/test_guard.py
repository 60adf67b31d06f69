"""A run ends although a call of Ray does not return: its processes have died, or a signal stops it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from toys import Quiet, toy_dag

from manifests.stores.folder import FolderStore
from pipeline.engine.schedule import Schedule
from pipeline.errors import ClusterLost
from pipeline.executors.on_ray import watch as watch_module
from pipeline.executors.on_ray.guard import Guard
from pipeline.executors.on_ray.watch import Heartbeat, StartWatch, Watch
from pipeline.planning.plan import build_plan


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as started:
        yield started
        started.kill()


class Work:
    """Work that ends when its observer stops it."""

    def __init__(self, guard: Guard, plan_in: Path) -> None:
        self.observer = guard.stops(Quiet())
        self.schedule = Schedule(build_plan(toy_dag(), FolderStore(plan_in), "r"))
        self.started, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.started.set()
        try:
            while True:
                time.sleep(0.01)
                self.observer.observe(self.schedule)
        finally:
            self.ended.set()


def test_a_process_that_dies_ends_the_work(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    guard = Guard()
    guard.watch = Watch({"the raylet": psutil.Process(process.pid)})
    guard.watch.check()
    process.kill()
    with pytest.raises(ClusterLost, match=rf"the raylet \(process {process.pid}\) has died") as error:
        guard.run(Work(guard, tmp_path))
    assert "run the same command again" in str(error.value)


def test_a_process_that_dies_while_ray_starts_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_START_GRACE_S", 0.2)
    (tmp_path / "gcs_server").symlink_to(sys.executable)
    command = ["gcs_server", "-c", "import time; time.sleep(600)"]
    watch = StartWatch()
    watch.check()
    with subprocess.Popen(command, executable=str(tmp_path / "gcs_server")) as started:
        guard = Guard()
        guard.watch = watch
        while "the GCS" not in watch.processes:
            watch.check()
            time.sleep(0.01)
        started.kill()
        with pytest.raises(ClusterLost, match=rf"the GCS \(process {started.pid}\) has died"):
            guard.run(Work(guard, tmp_path))
    watch.forget()
    watch.check()


def test_a_process_that_ends_after_the_work_is_not_missed(process: subprocess.Popen[bytes]) -> None:
    watch = Watch({"the raylet": psutil.Process(process.pid)})
    watch.stop()
    process.kill()
    process.wait()
    watch.check()


def test_errors_of_the_work_are_raised() -> None:
    def work() -> None:
        raise ValueError("this work fails")

    with pytest.raises(ValueError, match="this work fails"):
        Guard().run(work)


def test_a_signal_stops_the_work(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    guard = Guard()
    work = Work(guard, tmp_path)

    def interrupt() -> None:
        work.started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        guard.run(work)
    signal.signal(signal.SIGINT, before)
    assert work.ended.is_set()


def test_an_address_that_does_not_answer_is_lost_after_a_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        heartbeat = Heartbeat(f"127.0.0.1:{server.getsockname()[1]}", every_s=0.02)
        heartbeat.patience_s = 0.2
        time.sleep(0.1)
        assert heartbeat.lost() == ""
    ends_s = time.monotonic() + 30
    while not (lost := heartbeat.lost()) and time.monotonic() < ends_s:
        time.sleep(0.02)
    assert "has not answered for" in lost
    heartbeat.stop()


_HANGS = """
import signal, sys, time
from pipeline.executors.on_ray.guard import Guard
import pipeline.executors.on_ray.guard as module
module._CLEANUP_S = 0.1
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
def work():
    print("works", flush=True)
    time.sleep(600)
try:
    Guard().run(work)
except KeyboardInterrupt:
    print("summary", flush=True)
    sys.exit(130)
"""


def test_a_call_that_hangs_does_not_delay_the_end_of_the_process() -> None:
    driver = subprocess.Popen([sys.executable, "-c", _HANGS], stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    assert driver.stdout.readline() == "works\n"
    driver.send_signal(signal.SIGINT)
    assert driver.communicate(timeout=100)[0] == "summary\n"
    assert driver.returncode == 130
