"""A pool holds the Ray actors of one step (or of all rules), each with one opened stage.

An actor reserves no CPU cores in Ray: an idle actor uses none, and the executor assigns tasks only to
nodes with free cores. GPUs and memory are reserved, because an idle actor occupies them.
"""

import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from manifests.errors import ClipmillError
from pipeline.engine.task import Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.executors.on_ray.nodes import nodes_for
from pipeline.needs import Needs
from pipeline.planning.plan import Plan

_START_S = 2.0  # seconds to start an actor; less waiting work than this does not justify another one


@dataclass(frozen=True)
class TaskFailure:
    """An error that ends the run, returned as a value, with its traceback for `--debug`."""

    error: ClipmillError
    trace: str


class Actor:
    """A worker process. It opens its stage first, so that invalid weights fail before the first row."""

    def __init__(self, plan: Plan, step: str) -> None:
        self.worker = Worker(plan, share_pieces=True)
        self.step = step

    def open(self) -> "str | TaskFailure":
        """Open the stage. Returns the id of the node on which this actor runs."""
        try:
            if self.step:
                self.worker.open(self.worker.plan[self.step])
        except ClipmillError as error:
            return TaskFailure(error, traceback.format_exc())
        return str(ray.get_runtime_context().get_node_id())

    def run(self, task: Task) -> "TaskResult | TaskFailure":
        """Run one task."""
        try:
            return self.worker.run(task)
        except ClipmillError as error:
            return TaskFailure(error, traceback.format_exc())


@dataclass
class PoolActor:
    """One actor of a pool, as the driver sees it.

    Attributes:
        handle: The handle of the Ray actor.
        node: Id of the node on which it runs.
        placed: Ray object reference that is ready when the process has started.
        is_open: Whether its stage is open.
        node_name: Name of the node on which it runs, once its stage is open.
        task: The task that it runs, or None.
        since: When the task or the actor started, in seconds of `time.monotonic`.
    """

    handle: Any
    node: str
    pool: "Pool"
    placed: Any
    is_open: bool = False
    node_name: str = ""
    task: Task | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass
class Pool:
    """The actors for some steps.

    Attributes:
        step: The step whose stage the actors open; "" for the pool of the rules.
        steps: The steps whose tasks the actors run.
        needs: Resources of one actor while it runs a task.
        tasks: How many tasks are done.
        busy_s: Seconds that the done tasks took.
        failed_starts: Actors in a row that died while starting.
    """

    step: str
    steps: tuple[str, ...]
    needs: Needs
    actors: list[PoolActor] = field(default_factory=list)
    tasks: int = 0
    busy_s: float = 0.0
    failed_starts: int = 0

    @property
    def reserves_resources(self) -> bool:
        """Whether an idle actor occupies resources that other actors may need."""
        return bool(self.needs.gpus or self.needs.memory_gb)

    def idle(self) -> list[PoolActor]:
        return [actor for actor in self.actors if actor.is_open and actor.task is None]

    def needs_more_actors(self, ready: int) -> bool:
        """Whether to start one more actor: the ready tasks take longer than its start."""
        if not ready or (self.needs.workers and len(self.actors) >= self.needs.workers):
            return False
        if not self.actors:
            return True
        if not all(actor.is_open for actor in self.actors) or self.idle():
            return False
        now = time.monotonic()
        running_s = max((now - actor.since for actor in self.actors), default=0.0)
        mean_s = self.busy_s / self.tasks if self.tasks else running_s
        return ready * max(mean_s, running_s / 2) / len(self.actors) > _START_S

    def open_nodes(self, nodes: Iterable[str]) -> list[str]:
        """The nodes on which one more actor may start."""
        limit = self.needs.workers_per_node
        if not limit:
            return [*nodes]
        count = Counter(actor.node for actor in self.actors)
        found = [node for node in nodes if count[node] < limit]
        if found and self.reserves_resources:
            suitable = nodes_for(self.needs)
            found = [node for node in found if node in suitable]
        return found

    def start_actor(self, plan: Any, node: str) -> tuple[PoolActor, Any]:
        """Start an actor, preferably on `node`. Returns it, and the Ray object reference of its `open()`.

        With GPUs, Ray finds the node. With a number of workers per node, it is `node` in any case.
        """
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        if self.needs.gpus:
            options["num_gpus"] = self.needs.gpus
        if self.needs.workers_per_node or not self.needs.gpus:
            soft = not self.needs.workers_per_node
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=soft)
        if self.needs.memory_gb:
            options["memory"] = int(self.needs.memory_gb * 2**30)
        if self.needs.cpus >= 2:  # Ray sets OMP_NUM_THREADS=1 for actors without CPUs
            threads = str(int(self.needs.cpus))
            options["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": threads}}
        remote: Any = ray.remote(Actor)
        handle = remote.options(**options).remote(plan, self.step)
        actor = PoolActor(handle, node, self, handle.__ray_ready__.remote())
        self.actors.append(actor)
        return actor, handle.open.remote()

    def assign(self, actor: PoolActor, task: Task) -> Any:
        """Assign a task to an idle actor. Returns the Ray object reference of the result."""
        actor.task, actor.since = task, time.monotonic()
        return actor.handle.run.remote(task)

    def release(self, actor: PoolActor) -> None:
        """Mark an actor as idle after its task."""
        self.tasks += 1
        self.busy_s += time.monotonic() - actor.since
        actor.task = None

    def forget_lost(self, nodes: Collection[str]) -> None:
        """Forget the idle actors of nodes that are not in the cluster any more."""
        for actor in [actor for actor in self.idle() if actor.node not in nodes]:
            self.actors.remove(actor)

    def stop(self, *, idle: bool = False) -> None:
        """Stop all actors, or only the idle ones."""
        for actor in self.idle() if idle else [*self.actors]:
            ray.kill(actor.handle)
            self.actors.remove(actor)


def pools_of(plan: Plan) -> list[Pool]:
    """A pool for each step that has a stage, and one for all rules."""
    pools = [
        Pool(step.name, (step.name,), step.node.needs) for step in plan if step.kind not in ("drops", "model")
    ]
    # Ray Train runs the step of a model; an actor of this pool only closes its table.
    rules = [step for step in plan if step.kind in ("drops", "model")]
    if rules:
        pools.append(Pool("", tuple(step.name for step in rules), Needs(cpus=0.5)))
    return pools
