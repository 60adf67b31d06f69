"""A pool: the Ray actors of one step (or of all rules), each holding one opened stage.

An actor reserves no cores from Ray: an idle one uses none, and the executor gives out tasks only
where cores are free. GPUs and memory, which an idle worker does occupy, are reserved.
"""

import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from manifests.errors import ClipmillError
from pipeline.engine.task import Done, Task
from pipeline.engine.worker import Worker
from pipeline.needs import Needs
from pipeline.planning.plan import Plan

_START_S = 2.0  # what starting a worker costs; less work than this is not worth another one


@dataclass(frozen=True)
class Failed:
    """An error that ends the run, brought home as a value, with the traceback for `--debug`."""

    error: ClipmillError
    trace: str


class Actor:
    """The worker process. It opens its stage first, so that bad weights fail before the first row."""

    def __init__(self, plan: Plan, opens: str) -> None:
        self.worker = Worker(plan, spread=True)
        self.opens = opens

    def open(self) -> "str | Failed":
        """Open the stage; the id of the node this actor is on."""
        try:
            if self.opens:
                self.worker.open(self.worker.plan[self.opens])
        except ClipmillError as error:
            return Failed(error, traceback.format_exc())
        return str(ray.get_runtime_context().get_node_id())

    def do(self, task: Task) -> "Done | Failed":
        """Do one task."""
        try:
            return self.worker.do(task)
        except ClipmillError as error:
            return Failed(error, traceback.format_exc())


@dataclass
class Member:
    """One actor of a pool, as the driver sees it."""

    handle: Any
    node: str
    pool: "Pool"
    placed: Any  # kept as soon as Ray has found room and started the process, before it opens its stage
    opened: bool = False
    task: Task | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass
class Pool:
    """The actors for some steps.

    Attributes:
        opens: the step whose stage they hold; "" for the pool of the rules.
        steps: the steps whose tasks they take.
        needs: what one of them needs while it works.
    """

    opens: str
    steps: tuple[str, ...]
    needs: Needs
    members: list[Member] = field(default_factory=list)
    tasks: int = 0
    busy_s: float = 0.0
    failed_starts: int = 0

    @property
    def holds(self) -> bool:
        """Whether an idle actor keeps from others what it needs."""
        return bool(self.needs.gpus or self.needs.memory_gb)

    def idle(self) -> list[Member]:
        return [m for m in self.members if m.opened and m.task is None]

    def wants_more(self, ready: int) -> bool:
        """Whether one more actor would pay: the work at hand takes longer than starting it."""
        if not ready or (self.needs.workers and len(self.members) >= self.needs.workers):
            return False
        if not self.members:
            return True
        if not all(m.opened for m in self.members) or self.idle():
            return False
        now = time.monotonic()
        running_s = max((now - m.since for m in self.members), default=0.0)
        mean_s = self.busy_s / self.tasks if self.tasks else running_s
        return ready * max(mean_s, running_s / 2) / len(self.members) > _START_S

    def grow(self, plan: Any, node: str) -> tuple[Member, Any]:
        """Start an actor near `node`; it, and the promise of its `open()`."""
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        if self.needs.gpus:
            options["num_gpus"] = self.needs.gpus
        else:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
        if self.needs.memory_gb:
            options["memory"] = int(self.needs.memory_gb * 2**30)
        if self.needs.cpus >= 2:  # Ray gives one thread to those that ask it for no core
            threads = str(int(self.needs.cpus))
            options["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": threads}}
        remote: Any = ray.remote(Actor)
        handle = remote.options(**options).remote(plan, self.opens)
        member = Member(handle, node, self, handle.__ray_ready__.remote())
        self.members.append(member)
        return member, handle.open.remote()

    def hand_out(self, member: Member, task: Task) -> Any:
        """Give a task to an idle actor; the promise of its answer."""
        member.task, member.since = task, time.monotonic()
        return member.handle.do.remote(task)

    def take_back(self, member: Member) -> None:
        """Note that an actor's task is finished."""
        self.tasks += 1
        self.busy_s += time.monotonic() - member.since
        member.task = None

    def dismiss(self, *, idle: bool = False) -> None:
        """End all actors, or those that are idle."""
        for member in self.idle() if idle else [*self.members]:
            ray.kill(member.handle)
            self.members.remove(member)


def pools_of(plan: Plan) -> list[Pool]:
    """A pool for each step that has a stage, and one for all rules."""
    pools = [
        Pool(step.name, (step.name,), step.node.needs) for step in plan if step.kind not in ("drops", "model")
    ]
    rules = [step for step in plan if step.kind in ("drops", "model")]  # a model's pool only closes its table
    if rules:
        pools.append(Pool("", tuple(step.name for step in rules), Needs(cpus=0.5)))
    return pools
