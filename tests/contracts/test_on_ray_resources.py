"""Steps that want what another one holds: each gets its turn, and none waits for ever."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.exceptions import OutOfMemoryError
from toys import Learn, Numbers, Quiet, Split, Square, Sum

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import check_room, cluster
from pipeline.executors.on_ray.executor import _DIED
from pipeline.planning.plan import Plan, plan_of


class Patient(Quiet):
    """Gives up after a time in which any of these runs would long have ended."""

    def __init__(self) -> None:
        self.end = time.monotonic() + 150

    def look(self, schedule: object) -> None:
        if time.monotonic() > self.end:
            raise TimeoutError("the run waits for ever")


@pytest.fixture(scope="module", autouse=True)
def one_gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", partial(ray.init, num_gpus=1))  # only counted: no stage here uses one
        with cluster(None, 2):
            yield


def plan(dag: Dag, store: Path) -> Plan:
    return plan_of(dag, FolderStore(store), "r")


def test_two_steps_that_need_the_only_gpu_take_turns(tmp_path: Path) -> None:
    """The later one has work at once and takes it; the earlier one must make the rest for it."""
    dag = Dag("d")
    squares = dag.read(Numbers(count=6), rows_per_part=3).annotate(Square().on(gpus=1))
    dag.save(squares.keep("square >= 0", because="all").expand(Split().on(gpus=1)), "x")
    made = plan(dag, tmp_path)
    Inline().run(made, Quiet())
    for step in ("square", "all", "split"):
        (tmp_path / made[step].folder / "manifest.json").unlink()
        (tmp_path / made[step].folder / "part-000001.parquet").unlink()
    (tmp_path / made["split"].folder / "part-000000.parquet").unlink()
    assert OnRay().run(made, Patient()).finished


def test_more_ranks_than_gpus_are_refused_before_anything_runs(tmp_path: Path) -> None:
    dag = Dag("d")
    rows = dag.read(Numbers(count=6)).annotate(Square()).expand(Split()).survey(Sum())
    dag.save(rows.launch(Learn().on(gpus=1, ranks=2)), "x")
    with pytest.raises(PlanError, match="2 ranks of 1 GPUs; all nodes have 1"):
        check_room(plan(dag, tmp_path))


def test_a_worker_that_ray_ends_for_want_of_memory_has_died() -> None:
    assert issubclass(OutOfMemoryError, _DIED)
