"""On two nodes, of which one has a GPU: workers share the GPU, and each node holds as many as allowed."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from toys import Numbers, Placed, Quiet

from manifests.stores.folder import FolderStore
from pipeline import Dag, Needs
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.nodes import Node
from pipeline.executors.on_ray.pool import Pool, PoolActor
from pipeline.planning.plan import build_plan


@pytest.fixture(scope="module")
def gpu_node() -> Iterator[str]:
    """The id of the node with a GPU, which is only a number here: no stage uses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        nodes = Cluster()
        try:
            nodes.add_node(num_cpus=4, num_gpus=1, object_store_memory=80 << 20, include_dashboard=False)
            nodes.add_node(num_cpus=4, num_gpus=0, object_store_memory=80 << 20)
            ray.init(address=nodes.address, log_to_driver=False)
            nodes.wait_for_nodes()
            yield next(n["NodeID"] for n in ray.nodes() if n["Resources"].get("GPU"))
        finally:
            ray.shutdown()
            nodes.shutdown()


def workers(tmp_path: Path, expected: int, wait_s: float = 0.0, **needs: Any) -> list[dict[str, Any]]:
    """Run a step of 12 parts and return what its workers wrote."""
    folder = tmp_path / "workers"
    folder.mkdir()
    dag = Dag("d")
    stage = Placed(folder=str(folder), workers=expected, wait_s=wait_s).on(cpus=0.5, **needs)
    dag.save(dag.read(Numbers(count=12), rows_per_part=1).annotate(stage), "x")
    schedule = OnRay().run(build_plan(dag, FolderStore(tmp_path / "s"), "r"), Quiet())
    assert schedule.steps["placed"].row_counts.rows_out == 12
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


@pytest.mark.slow
def test_four_workers_share_one_gpu(gpu_node: str, tmp_path: Path) -> None:
    found = workers(tmp_path, 4, gpus=0.25)
    assert found == [{"node": gpu_node, "gpus": ["0"], "visible": "0"}] * 4


@pytest.mark.slow
def test_one_worker_on_each_node(gpu_node: str, tmp_path: Path) -> None:
    found = workers(tmp_path, 2, wait_s=0.7, workers_per_node=1)
    assert len(found) == len({worker["node"] for worker in found}) == 2


@pytest.mark.slow
def test_two_workers_on_each_node_with_a_gpu(gpu_node: str, tmp_path: Path) -> None:
    found = workers(tmp_path, 2, wait_s=0.7, gpus=0.25, workers_per_node=2)
    assert Counter(worker["node"] for worker in found) == {gpu_node: 2}


def test_a_node_takes_no_more_workers_than_allowed() -> None:
    pool = Pool("s", ("s",), Needs(workers_per_node=2))
    pool.actors += [PoolActor(None, node, pool, None, is_open=True) for node in ("a", "b", "b")]
    nodes = [Node(name, name, cpus=2, gpus=0, memory=0) for name in ("a", "b", "c")]
    assert pool.open_nodes(nodes) == ["a", "c"]
    assert Pool("s", ("s",), Needs()).open_nodes(nodes) == ["a", "b", "c"]


@pytest.mark.parametrize("gpus", [0.0, 0.0001, 0.25, 1, 4.0])
def test_gpus_are_whole_or_a_share(gpus: float) -> None:
    assert Needs(gpus=gpus).gpus == gpus


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"gpus": 1.5}, "gpus is 1.5; it must be a whole number, or a share of a GPU below 1"),
        ({"gpus": -0.5}, "gpus is -0.5; it must be 0 or greater"),
        ({"gpus": float("nan")}, "gpus is nan; it must be 0 or greater"),
        ({"gpus": 0.00001}, "the smallest share of a GPU is 0.0001"),
        ({"workers_per_node": -1}, "workers_per_node is -1; it must be 0 or greater"),
    ],
)
def test_wrong_needs_are_refused(needs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Needs(**needs)
