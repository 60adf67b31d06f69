"""Runs on a Ray cluster of several nodes, each with a raylet of its own, whose store is an S3 bucket."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from toys import Numbers, Quiet, Split, Square

from manifests.stores import open_store
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.planning.plan import Plan, build_plan


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    variables = {
        "AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem().mkdir("nodes")
    return "s3://nodes"


@pytest.fixture
def nodes(bucket: str) -> Iterator[Cluster]:
    """A node without GPUs, and one that says it has a GPU. They inherit the variables of the bucket."""
    small = {"object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **small})
    cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 << 20)
    yield cluster
    cluster.shutdown()


class ChangesNodes(Quiet):
    """Adds a node when the first part is done, and kills it once it has finished tasks."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ends_s = time.monotonic() + 200
        self.added: object = None
        self.killed = self.known = 0
        self._change: threading.Thread | None = None

    def observe(self, schedule: Schedule) -> None:  # type: ignore[override]
        assert time.monotonic() < self.ends_s, schedule.nodes
        if self._change and self._change.is_alive():
            return
        if self.added is None and schedule.steps["square"].done:
            self.known = len(schedule.nodes)
            self._change = threading.Thread(target=self._add)
            self._change.start()
        elif self.added and not self.killed and len(schedule.nodes) > 2:
            self.killed = 1
            self._change = threading.Thread(target=self._kill)
            self._change.start()

    def _add(self) -> None:
        self.added = self.cluster.add_node(num_cpus=3, object_store_memory=80 << 20)

    def _kill(self) -> None:
        self.cluster.remove_node(self.added, allow_graceful=False)


def plan_of(store: str, counted: str = "", wait_s: float = 0.0, memory_gb: float = 0.0) -> Plan:
    dag = Dag("d")
    stage = Square(wait_s=wait_s, count_in=counted).on(memory_gb=memory_gb)
    dag.save(dag.read(Numbers(count=240), rows_per_part=4).annotate(stage).expand(Split().on(gpus=1)), "x")
    return build_plan(dag, open_store(store), "r")


def tables(store: str) -> dict[str, bytes]:
    opened = open_store(store)
    return {n: opened.read(n) for n in opened.walk("") if not n.startswith(("runs/", ".", "lease"))}


@pytest.mark.slow
def test_a_node_that_joins_is_used_and_one_that_dies_costs_its_parts_in_flight(
    nodes: Cluster, bucket: str, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=r"step square needs 9000 GiB of memory; no node has that") as refused:
        OnRay(address=nodes.address).run(plan_of(f"{bucket}/refused", memory_gb=9000), Quiet())
    assert "1 CPU, 1 GPU" in str(refused.value)
    assert "1 CPU, no GPU" in str(refused.value)

    changes = ChangesNodes(nodes)
    plan = plan_of(f"{bucket}/a", counted=str(tmp_path / "count"), wait_s=0.3)
    schedule = OnRay(address=nodes.address).run(plan, changes)
    assert schedule.is_finished
    assert changes.killed
    assert not ray.is_initialized()
    assert len(schedule.nodes) == 3
    processed = [int(line) for line in (tmp_path / "count").read_text().split()]
    assert set(processed) == set(range(240))
    assert len(processed) - 240 <= 4 * 4  # the rows of at most four parts that the node had begun
    Inline().run(plan_of(str(tmp_path / "inline")), Quiet())
    assert tables(f"{bucket}/a") == tables(str(tmp_path / "inline"))
