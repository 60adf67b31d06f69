"""Runs on a real Ray of several nodes: a store on S3, sources on S3 and HTTP, nodes that join and die."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import spreading
from file_server import serve
from ray.cluster_utils import Cluster
from toys import Quiet

from benchmarks.workloads.local_s3 import local_s3
from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from stages.media.encoding.arrays import write_mp4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_OBJECTS = 80 << 20  # bytes of the object store of a node


class Nodes:
    """A cluster: a head without cores, a node with 1 core, and a node with 3 cores and a "GPU"."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.add(num_cpus=0, include_dashboard=False)
        self.add(num_cpus=1)
        self.gpu_node = self.add(num_cpus=3, num_gpus=1)

    def add(self, **options: Any) -> Any:
        """Start a node. A busy machine may need a second attempt: Ray waits 30 s."""
        options = {"num_gpus": 0, "object_store_memory": _OBJECTS, **options}
        try:
            return self.cluster.add_node(**options)
        except Exception:
            return self.cluster.add_node(**options)

    def kill(self, node: Any) -> None:
        """Kill a node, and wait until its workers have ended."""
        workers = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
        self.cluster.remove_node(node, allow_graceful=False)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        psutil.wait_procs(workers)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    pytest.importorskip("moto.server")
    with pytest.MonkeyPatch.context() as patch, local_s3() as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }.items():
            patch.setenv(name, value)
        found = Nodes()
        yield found
        found.cluster.shutdown()


@pytest.fixture
def store(nodes: Nodes) -> str:
    """The URL of a store in a new bucket."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"clips-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/store"


class Run:
    """A driver in a process of its own."""

    def __init__(self, nodes: Nodes, store: str, **knobs: Any) -> None:
        words = [f"{name}={value}" for name, value in knobs.items()]
        command = [sys.executable, "-m", "pipeline.cli", "run", spreading.__file__, *words]
        self.store = open_store(store)
        self.process = subprocess.Popen(
            [*command, f"store={store}", f"ray_address={nodes.cluster.address}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, code: int = 0) -> str:
        """Wait for the end. Returns what the driver printed, which holds no message of Ray."""
        out = self.process.communicate(timeout=600)[0]
        assert self.process.returncode == code, out
        assert "(raylet)" not in out, out
        assert "Traceback" not in out, out
        return out

    def wait_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert self.process.poll() is None, self.end()
            time.sleep(0.1)

    def status(self) -> dict[str, Any]:
        """What `clipmill status` prints."""
        command = [sys.executable, "-m", "pipeline.cli", "status", self.store.url, "--json"]
        found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        names = sorted(name for name in self.store.walk("runs") if "/events" in name)
        lines = [json.loads(line) for name in names for line in self.store.read(name).splitlines()]
        return [line for line in lines if line["event"] == kind]


def tables(url: str) -> dict[str, bytes]:
    """The files of the tables of numbers and doubled numbers."""
    store = open_store(url)
    return {n: store.read(n) for n in store.walk() if n.startswith(("numbers-", "double-")) and "/." not in n}


def expected(tmp_path: Path, count: int) -> dict[str, bytes]:
    """The same tables, made in this process."""
    plan = build_plan(spreading.spreading(count=count), FolderStore(tmp_path / "inline"), "r")
    Inline().run(plan, Quiet())
    return tables(str(tmp_path / "inline"))


class Log:
    """The numbers that workers have begun, each with the id of its node."""

    def __init__(self, folder: Path) -> None:
        self.path, self.release = folder / "log", folder / "release"
        self.path.mkdir()
        self.knobs = {"log_to": self.path, "hold_until": self.release, "hold_from": 10}

    def lines(self) -> list[tuple[int, str]]:
        words = "".join(path.read_text() for path in self.path.iterdir()).split()
        return [(int(number), node) for number, node in zip(words[::2], words[1::2], strict=False)]

    def held(self, node: str = "") -> set[int]:
        """The numbers that wait, on any node or on one."""
        return {number for number, place in self.lines() if number >= 10 and node in ("", place)}

    def repeated(self) -> set[int]:
        counts = Counter(number for number, _ in self.lines())
        return {number for number, times in counts.items() if times > 1}


def test_steps_run_where_their_needs_are_met_on_sources_at_urls(
    nodes: Nodes, store: str, tmp_path: Path
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    write_mp4(tmp_path / "a.mp4", (picture for _ in range(12)), 12, preset="ultrafast")
    film = (tmp_path / "a.mp4").read_bytes()
    bucket = store.rpartition("/")[0]
    open_store(bucket).create("films/b.mp4", film + b"\0")
    places = tmp_path / "places"
    places.mkdir()
    with serve({"/films/a.mp4": film}) as http:
        videos = f"{http.url}/films/,{bucket}/films"
        run = Run(nodes, store, videos=videos, placed_in=places, workers=2, gpus=0.5)
        run.end()
    found = [json.loads(path.read_text()) for path in places.glob("*.json")]
    assert found == [{"node": nodes.gpu_node.node_id, "gpus": ["0"], "visible": "0"}] * 2
    assert tables(store) == expected(tmp_path, 12)
    status = run.status()
    assert {step["step"]: step["rows_out"] for step in status["steps"]}["probe_video"] == 2
    assert sorted(work["cpus"] for work in status["nodes"].values()) == [0, 1, 3]
    assert sum(work["tasks"] for work in status["nodes"].values()) >= 6 + 6 + 4


def test_a_node_that_joins_is_used_and_one_that_dies_costs_only_its_parts(
    nodes: Nodes, store: str, tmp_path: Path
) -> None:
    log = Log(tmp_path)
    run = Run(nodes, store, count=60, **log.knobs)
    run.wait_until(log.held)
    joined = nodes.add(num_cpus=2)
    run.wait_until(lambda: len(log.held(joined.node_id)) == 2)
    nodes.kill(joined)
    lost, started = log.held(joined.node_id), time.monotonic()
    run.wait_until(lambda: run.events("node_left"))  # Ray notices it late; the run may end before
    print(f"the loss was noticed {time.monotonic() - started:.1f} s after the node was killed")
    log.release.touch()
    run.end()
    assert tables(store) == expected(tmp_path, 60)
    assert log.repeated() == lost
    assert {event["cpus"] for event in run.events("node_joined")} == {0, 1, 2, 3}
    assert [event["cpus"] for event in run.events("node_left")] == [2]


def test_a_second_driver_learns_who_holds_the_store_and_goes_on_when_that_one_dies(
    nodes: Nodes, store: str, tmp_path: Path
) -> None:
    log = Log(tmp_path)
    first = Run(nodes, store, count=30, **log.knobs)
    first.wait_until(lambda: len(log.held()) == 4)
    refused = Run(nodes, store, count=30, **log.knobs).end(1)
    assert f"process {first.process.pid} on {socket.gethostname()}" in refused
    first.process.kill()
    first.process.communicate()
    in_flight = log.held()
    log.release.touch()
    Run(nodes, store, count=30, **log.knobs).end()
    assert tables(store) == expected(tmp_path, 30)
    assert log.repeated() <= in_flight


def test_a_node_whose_workers_start_slowly_holds_nothing_back(
    nodes: Nodes, store: str, tmp_path: Path
) -> None:
    """A worker on that node opens when the run has ended, and never before."""
    slow = nodes.add(num_cpus=8, env_vars={"SLOW_NODE": "1"})
    run = Run(nodes, store, count=40, late_until=tmp_path / "never")
    run.end()
    workers = run.events("worker_started")
    assert [event for event in workers if event["step"] == "opens_late"]
    assert not [e for e in workers if e["step"] == "opens_late" and slow.node_id[:6] in e["node"]]
    nodes.kill(slow)


def test_a_step_that_no_node_can_hold_is_refused_with_the_resources_of_all(
    nodes: Nodes, store: str, tmp_path: Path
) -> None:
    out = Run(nodes, store, placed_in=tmp_path, gpus=2).end(2)
    assert "a worker of step placed needs 2 GPU; no node has that" in out
    assert all(resources in out for resources in ("0 CPU, no GPU", "1 CPU, no GPU", "3 CPU, 1 GPU"))


def test_a_run_whose_gcs_is_lost_ends_with_a_summary(nodes: Nodes, store: str, tmp_path: Path) -> None:
    """The last test: the cluster has ended."""
    log = Log(tmp_path)
    run = Run(nodes, store, **log.knobs)
    run.wait_until(log.held)
    started = time.monotonic()
    os.kill(nodes.cluster.head_node.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
    out = run.end(1)
    print(f"ended {time.monotonic() - started:.1f} s after the GCS was killed")
    assert "Ray has ended: the GCS at" in out or "the raylet of this machine" in out
    assert "double" in out
    assert "run the same command again" in out
