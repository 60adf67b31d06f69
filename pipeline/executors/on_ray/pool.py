"""A pool holds the Ray actors of one step with its opened stage, or of all steps that need no own process.

An actor gets several tasks in one message if they are short. It reserves no CPU cores in Ray: an idle actor
uses none, and the executor assigns tasks only to nodes with free cores. GPUs and memory are reserved, because
an idle actor occupies them.
"""

import math
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from manifests.errors import ClipmillError
from manifests.stores.process_folder import process_folder
from pipeline.engine.task import Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.executors.on_ray.nodes import Node
from pipeline.needs import Needs
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Stage

ALONE = ("close", "rows")  # phases of tasks that are sent alone and say nothing about other tasks
_START_S = 2.0  # seconds to start an actor; less waiting work than this does not justify another one
_LATE_S = 1.0  # seconds after which another node may start an actor faster


@dataclass(frozen=True)
class TaskFailure:
    """An error that ends the run, returned as a value, with its traceback for `--debug`."""

    error: ClipmillError
    trace: str


class Actor:
    """A worker process. It opens its stage first, so that invalid weights fail before the first row."""

    def __init__(self, plan: Plan, step: str) -> None:
        tempfile.tempdir = str(process_folder())  # the next process deletes what a killed one leaves here
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

    def run(self, tasks: Sequence[Task]) -> "list[TaskResult | TaskFailure]":
        """Run tasks one after another, up to the first that is not done. Returns one result for each."""
        results: list[TaskResult | TaskFailure] = []
        for task in tasks:
            try:
                result = self.worker.run(task)
                results.append(result)
                if result.pause or result.pieces:
                    break
            except ClipmillError as error:
                results.append(TaskFailure(error, traceback.format_exc()))
                break
        return results


@dataclass(eq=False)
class PoolActor:
    """One actor of a pool, as the driver sees it.

    Attributes:
        handle: The handle of the Ray actor.
        node: Id of the node on which it runs.
        placed: Ray object reference that is ready when the process has started.
        is_open: Whether its stage is open.
        node_name: Name of the node on which it runs, once its stage is open.
        tasks: The tasks that it runs, one after another; empty if it is idle.
        since: When the tasks or the actor started, in seconds of `time.monotonic`.
    """

    handle: Any
    node: str
    pool: "Pool"
    placed: Any
    is_open: bool = False
    node_name: str = ""
    tasks: Sequence[Task] = ()
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Pool:
    """The actors for some steps.

    Attributes:
        step: The step whose stage the actors open; "" for the pool of the steps that need no own process.
        steps: The steps whose tasks the actors run.
        needs: Resources of one actor while it runs a task.
        actors: All actors.
        idle: Open actors without tasks, by node.
        parts: How many parts are done. A part of several steps that ran behind each other counts once.
        busy_s: Seconds that they took.
        failed_starts: Actors in a row that died while starting.
    """

    step: str
    steps: tuple[str, ...]
    needs: Needs
    actors: list[PoolActor] = field(default_factory=list)
    idle: dict[str, list[PoolActor]] = field(default_factory=dict)
    parts: int = 0
    busy_s: float = 0.0
    failed_starts: int = 0

    def __str__(self) -> str:
        return f"step {self.step}" if self.step else "the steps without own processes"

    @property
    def reserves_resources(self) -> bool:
        """Whether an idle actor occupies resources that other actors may need."""
        return bool(self.needs.gpus or self.needs.memory_gb)

    def needs_more_actors(self, ready: int) -> bool:
        """Whether to start one more actor: the ready tasks take longer than its start.

        If no actor is open yet, one on a further node may be open before them.
        """
        if not ready or (self.needs.workers and len(self.actors) >= self.needs.workers):
            return False
        now = time.monotonic()
        if not any(actor.is_open for actor in self.actors):
            return all(now - actor.since > _LATE_S for actor in self.actors)
        running_s = max((now - actor.since for actor in self.actors if actor.tasks), default=0.0)
        mean_s = self.busy_s / self.parts if self.parts else running_s
        return ready * max(mean_s, running_s / 2) / len(self.actors) > _START_S

    def open_nodes(self, nodes: Iterable[Node]) -> list[str]:
        """The ids of the nodes on which one more actor may start.

        No node has two before one is open. Without GPUs, none has more than its cores can run at a time.
        """
        most = 1.0 if not any(actor.is_open for actor in self.actors) else math.inf
        most = min(most, self.needs.workers_per_node or math.inf)
        count = Counter(actor.node for actor in self.actors)
        return [
            node.id
            for node in nodes
            if node.can_hold(self.needs) and count[node.id] < min(most, self.most_running(node.cpus))
        ]

    def most_running(self, cores: float) -> float:
        """How many actors can run tasks on so many cores at a time. Of steps with GPUs, these decide it."""
        cpus = 0.0 if self.needs.gpus else self.needs.cpus
        return max(1.0, cores // cpus) if cpus else math.inf

    def start_actor(self, plan: Any, node: str) -> tuple[PoolActor, Any]:
        """Start an actor on `node`. Returns it, and the Ray object reference of its `open()`.

        If it reserves GPUs or memory, and workers per node have no limit, Ray finds the node.
        """
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        if self.needs.gpus:
            options["num_gpus"] = self.needs.gpus
        if self.needs.workers_per_node or not self.reserves_resources:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
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

    def opened(self, actor: PoolActor, node: str, node_name: str) -> None:
        """Note that an actor has opened its stage, and on which node."""
        actor.is_open, actor.node, actor.node_name = True, node, node_name
        self.failed_starts = 0
        self.idle.setdefault(node, []).append(actor)

    def assign(self, actor: PoolActor, tasks: Sequence[Task]) -> Any:
        """Assign tasks to an idle actor. Returns the Ray object reference of their results."""
        self.idle[actor.node].remove(actor)
        actor.tasks, actor.since = tasks, time.monotonic()
        return actor.handle.run.remote(tasks)

    def release(self, actor: PoolActor) -> None:
        """Mark an actor as idle after its tasks."""
        if actor.tasks[0].phase not in ALONE:
            self.parts += len({task.number for task in actor.tasks})
            self.busy_s += time.monotonic() - actor.since
        actor.tasks = ()
        self.idle[actor.node].append(actor)

    def forget_lost(self, nodes: Collection[str]) -> None:
        """Forget the idle actors of nodes that are not in the cluster any more."""
        for node, idle in self.idle.items():
            if node not in nodes:
                for actor in [*idle]:
                    self.remove(actor)

    def remove(self, actor: PoolActor) -> None:
        """Forget an actor whose process has ended."""
        self.actors.remove(actor)
        if actor in self.idle.get(actor.node, ()):
            self.idle[actor.node].remove(actor)

    def stop(self, actors: Sequence[PoolActor]) -> None:
        """Stop some of the actors."""
        for actor in [*actors]:
            ray.kill(actor.handle)
            self.remove(actor)


def pools_of(plan: Plan) -> list[Pool]:
    """A pool for each step that needs processes of its own, and one for all other steps.

    Ray Train runs launches. Any actor closes tables.
    """
    own = [step for step in plan if step.kind not in ("drops", "model") and _needs_own_process(step)]
    names = {step.name for step in own}
    others = tuple(step.name for step in plan if step.name not in names and step.kind != "model")
    pools = [Pool(step.name, (step.name,), step.node.needs) for step in own]
    return [*pools, *([Pool("", others, Needs())] if others else [])]


def _needs_own_process(step: Step) -> bool:
    """Whether a stage needs other resources than one core, or holds models, of which a process holds few."""
    kind = type(step.stage)
    holds_objects = any(isinstance(getattr(kind, name), cached_property) for name in dir(kind))
    needs = replace(step.node.needs, batch=1, retries=1, ranks=1)
    return holds_objects or kind.open is not Stage.open or needs != Needs()
