"""On which node one more actor of a step starts, without Ray: unequal nodes, slow starts, full nodes."""

import time
from pathlib import Path
from typing import Any

import pytest
from toys import Numbers, Quiet, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag, Needs
from pipeline.engine.schedule import Schedule
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import sizing as module
from pipeline.executors.on_ray.cores import Cores
from pipeline.executors.on_ray.nodes import Node, check_resources
from pipeline.executors.on_ray.pool import Pool, PoolActor
from pipeline.executors.on_ray.sizing import Sizing
from pipeline.planning.plan import Plan, build_plan

SMALL = Node("small", "host-1", cpus=1, gpus=0, memory=2**32)
LARGE = Node("large", "host-2", cpus=3, gpus=1, memory=2**33)
HEAD = Node("head", "host-0", cpus=0, gpus=0, memory=2**32)
NODES = {node.id: node for node in (HEAD, SMALL, LARGE)}


def make_plan(store: Path, **needs: Any) -> Plan:
    """20 parts of a step, all of them ready."""
    dags = []
    for annotate in (False, True):
        dag = Dag("d")
        rows = dag.read(Numbers(count=20), rows_per_part=1)
        dag.save(rows.annotate(Square().on(**needs)) if annotate else rows, "x")
        dags.append(build_plan(dag, FolderStore(store), "r"))
    Inline().run(dags[0], Quiet())
    return dags[1]


class State:
    """A pool whose tasks take `task_s`, and the decisions about it."""

    def __init__(self, store: Path, *, limit: float = 0, task_s: float = 0.0, **needs: Any) -> None:
        plan = make_plan(store, **needs)
        self.schedule, self.cores, self.opening = Schedule(plan), Cores(limit), set[PoolActor]()
        self.cores.nodes = {node.id: node.cpus for node in NODES.values()}
        self.sizing = Sizing(plan, self.schedule, self.cores, self.opening)
        self.sizing.nodes = NODES
        self.pool = Pool("square", ("square",), Needs(**needs))
        self.pool.parts, self.pool.busy_s = (1, task_s) if task_s else (0, 0.0)

    def start(self, node: str, *, ago_s: float = 0.0, is_open: bool = False) -> PoolActor:
        actor = PoolActor(None, node, self.pool, None, since=time.monotonic() - ago_s)
        self.pool.actors.append(actor)
        if is_open:
            self.pool.opened(actor, node, node)
        else:
            self.opening.add(actor)
        return actor

    def run(self, actor: PoolActor) -> None:
        """Give an open actor a task."""
        self.pool.idle[actor.node].remove(actor)
        actor.tasks = [self.schedule.take(["square"])]  # type: ignore[list-item]
        self.cores.use(actor.node, self.pool.needs.cpus)

    def starts(self) -> list[str]:
        """The nodes of the actors that start now."""
        found = []
        while node := self.sizing.next_node(self.pool):
            self.start(node)
            found.append(node)
        return found


def test_the_first_actor_starts_on_the_node_with_most_free_cores(tmp_path: Path) -> None:
    assert State(tmp_path).starts() == ["large"]


def test_while_an_actor_starts_slowly_another_node_starts_one_too(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.start("large", ago_s=3)
    assert state.starts() == ["small"]  # and none on the head, which has no cores
    assert [actor.node for actor in state.pool.actors] == ["large", "small"]


def test_every_core_of_unequal_nodes_gets_an_actor_if_tasks_are_long(tmp_path: Path) -> None:
    state = State(tmp_path, task_s=5.0)
    state.run(state.start("large", is_open=True))
    assert sorted(state.starts()) == ["large", "large", "small"]


def test_an_actor_that_starts_slowly_blocks_no_start_on_other_nodes(tmp_path: Path) -> None:
    state = State(tmp_path, task_s=5.0)
    state.run(state.start("large", is_open=True))
    for _ in range(2):
        state.start("large", ago_s=60)
    assert state.starts() == ["small"]


def test_short_tasks_and_limits_start_no_more_actors(tmp_path: Path) -> None:
    for name, settings in {
        "short": {"task_s": 0.01},
        "one core": {"task_s": 5.0, "limit": 1},
        "one worker": {"task_s": 5.0, "workers": 1},
    }.items():
        state = State(tmp_path / name, **settings)
        state.run(state.start("large", is_open=True))
        assert state.starts() == [], name


def test_an_idle_actor_counts_only_where_a_core_is_free(tmp_path: Path) -> None:
    state = State(tmp_path, task_s=5.0)
    state.run(state.start("large", is_open=True))
    state.start("small", is_open=True)
    assert state.starts() == []
    state.cores.use("small", 1)  # a task of another step
    assert state.starts() == ["large", "large"]


def test_actors_for_gpus_start_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: set[PoolActor] = set()
    monkeypatch.setattr(module, "is_placed", lambda actor: actor in placed)
    state = State(tmp_path, task_s=5.0, gpus=0.25)
    state.run(state.start("large", is_open=True))
    assert state.starts() == ["large"]
    placed.update(state.pool.actors)
    assert state.starts() == ["large"]


def test_a_step_with_memory_starts_no_more_actors_than_its_cores_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_placed", lambda _: True)
    for cpus, limit, most in ((1, 0, 4), (0.5, 0, 8), (2, 0, 2), (1, 2, 2), (8, 0, 2)):
        state = State(tmp_path / f"{cpus} {limit}", task_s=5.0, memory_gb=0.1, cpus=cpus, limit=limit)
        state.run(state.start("large", is_open=True))
        state.starts()
        assert len(state.pool.actors) == most, (cpus, limit)


def test_tasks_that_need_more_cores_than_their_node_run_there_alone() -> None:
    cores = Cores()
    cores.nodes = {"small": 1.0, "large": 3.0}
    cores.use("small", 1)
    assert cores.can_use("large", 8)
    cores.use("large", 1)
    assert not cores.can_use("large", 8)
    assert not cores.can_use("small", 8)


def test_a_step_that_fits_on_no_node_is_refused_with_their_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.executors.on_ray.nodes.live_nodes", lambda: NODES)
    check_resources(make_plan(tmp_path / "fits", gpus=1, memory_gb=6))
    with pytest.raises(PlanError, match="a worker of step square needs 2 GPU; no node has that") as error:
        check_resources(make_plan(tmp_path / "gpus", gpus=2))
    listed = "host-0: 0 CPU, no GPU, 4.0 GiB; host-1: 1 CPU, no GPU, 4.0 GiB; host-2: 3 CPU, 1 GPU, 8.0 GiB"
    assert listed in str(error.value)
    monkeypatch.setattr("pipeline.executors.on_ray.nodes.live_nodes", lambda: {"head": HEAD})
    with pytest.raises(PlanError, match="needs a CPU; no node has that"):
        check_resources(make_plan(tmp_path / "cpus"))
