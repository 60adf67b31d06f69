"""Steps that need the resources of another step on Ray take turns, and no step waits forever."""

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
from pipeline.executors.on_ray.cluster import cluster
from pipeline.executors.on_ray.deaths import DIED
from pipeline.executors.on_ray.nodes import check_resources
from pipeline.planning.plan import Plan, build_plan


class TimesOut(Quiet):
    """Raises after 150 s, far more than these runs take."""

    def __init__(self) -> None:
        self.end_s = time.monotonic() + 150

    def observe(self, schedule: object) -> None:
        if time.monotonic() > self.end_s:
            raise TimeoutError("the run does not end")


@pytest.fixture(scope="module", autouse=True)
def one_gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", partial(ray.init, num_gpus=1))  # only a number: no stage here uses a GPU
        with cluster(None, 2):
            yield


def make_plan(dag: Dag, store: Path) -> Plan:
    return build_plan(dag, FolderStore(store), "r")


@pytest.mark.slow
def test_two_steps_that_need_the_only_gpu_take_turns(tmp_path: Path) -> None:
    """The later step has ready parts and gets the GPU first; the earlier step must make the other parts."""
    dag = Dag("d")
    squares = dag.read(Numbers(count=6), rows_per_part=3).annotate(Square().on(gpus=1))
    dag.save(squares.keep("square >= 0", because="all").expand(Split().on(gpus=1)), "x")
    plan = make_plan(dag, tmp_path)
    Inline().run(plan, Quiet())
    for step in ("square", "all", "split"):
        (tmp_path / plan[step].folder / "manifest.json").unlink()
        (tmp_path / plan[step].folder / "part-000001.parquet").unlink()
    (tmp_path / plan["split"].folder / "part-000000.parquet").unlink()
    assert OnRay().run(plan, TimesOut()).is_finished


def test_more_ranks_than_gpus_raise_before_anything_runs(tmp_path: Path) -> None:
    dag = Dag("d")
    rows = dag.read(Numbers(count=6)).annotate(Square()).expand(Split()).survey(Sum())
    dag.save(rows.launch(Learn().on(gpus=1, ranks=2)), "x")
    with pytest.raises(PlanError, match="2 ranks of 1 GPUs; all nodes have 1"):
        check_resources(make_plan(dag, tmp_path))


def test_a_worker_that_ray_ends_for_lack_of_memory_has_died() -> None:
    assert issubclass(OutOfMemoryError, DIED)
