"""Runs a plan on Ray: each idle worker gets the next parts whose inputs exist.

Ray places, starts and monitors the processes; this module keeps track of the parts. Only tasks and row
counts are sent between processes, and the work per event does not grow with the number of workers. If a
worker dies, it is replaced and its tasks are queued again. The journal of the part shows on which row it
died; a row on which two workers died is rejected.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.task import NodeWork, Task
from pipeline.engine.worker import Worker
from pipeline.errors import StageFailed
from pipeline.executor import Observer
from pipeline.executors.on_ray.cluster import cluster
from pipeline.executors.on_ray.cores import Cores
from pipeline.executors.on_ray.deaths import DIED, Deaths, last_line
from pipeline.executors.on_ray.guard import Guard
from pipeline.executors.on_ray.launching import start_launch
from pipeline.executors.on_ray.messages import Messages
from pipeline.executors.on_ray.metrics import Metrics
from pipeline.executors.on_ray.nodes import Node, check_resources, live_nodes
from pipeline.executors.on_ray.pool import Pool, PoolActor, TaskFailure, pools_of
from pipeline.executors.quick_steps import run_quick_steps
from pipeline.planning.plan import Plan

_OBSERVE_S = 0.5  # seconds between two calls of the observer
_NODES_S = 5.0  # seconds between two checks for nodes that joined or left
_SIZE_S = 0.05  # seconds between two decisions on how many actors a step has
_PLACEMENT_S = 5.0  # seconds; a process that has resources starts in less


class OnRay:
    """Runs plans on the Ray cluster at `address`, or on this machine.

    Args:
        address: Address of a running cluster ("auto", "10.0.0.1:6379"); None starts one on this machine.
        workers: Maximum number of CPU cores to use; 0 uses all.
    """

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        self.address, self.workers = address, workers

    def run(self, plan: Plan, observer: Observer) -> Schedule:
        for step in plan:
            begin_table(plan, step)
        schedule = Schedule(plan)
        observer.observe(schedule)
        if not (self.address or ray.is_initialized()):
            run_quick_steps(plan, schedule, observer)
        if not schedule.is_finished:
            self._run_on_cluster(plan, schedule, observer)
        observer.observe(schedule)
        return schedule

    def _run_on_cluster(self, plan: Plan, schedule: Schedule, observer: Observer) -> None:
        guard = Guard()

        def work() -> None:
            with cluster(self.address, self.workers) as guard.watch:
                check_resources(plan)
                run = _Run(plan, schedule, guard.stops(observer), self.workers)
                run.metrics = Metrics(schedule) if self.address else None  # Ray here exports none
                run.loop()

        if ray.is_initialized():
            work()
        else:
            guard.run(work)


class _Run:
    """The state of one run: which actor runs which tasks, and which nodes have free cores."""

    def __init__(self, plan: Plan, schedule: Schedule, observer: Observer, limit: int) -> None:
        self.plan, self.schedule, self.observer = plan, schedule, observer
        self.cores = Cores(limit)
        self.pools = sorted(pools_of(plan), key=lambda pool: -max(plan[name].depth for name in pool.steps))
        self.launched_steps = [step.name for step in plan if step.kind == "model"]
        self.messages = Messages(schedule)
        self.plan_ref = ray.put(plan)
        self.nodes: dict[str, Node] = {}
        self.results: SimpleQueue[tuple[Callable[[Future[Any]], None], Future[Any]]] = SimpleQueue()
        self.opening: set[PoolActor] = set()
        self.launches: dict[Any, Task] = {}
        self.deaths = Deaths(schedule)
        self.metrics: Metrics | None = None
        self.observed_at_s = self.counted_at_s = self.sized_at_s = 0.0

    def loop(self) -> None:
        try:
            while not self.schedule.is_finished:
                self._observe()
                self._assign_tasks()
                self._size_pools()
                self._wait()
        finally:
            for pool in self.pools:
                pool.stop(pool.actors)
            for ref in self.launches:
                ray.cancel(ref, force=True)
            if self.metrics:
                self.metrics.report()

    def _observe(self) -> None:
        now = time.monotonic()
        if now - self.observed_at_s > _OBSERVE_S:
            self.observed_at_s = now
            self.observer.observe(self.schedule)
            if self.metrics:
                self.metrics.observe()
        if now - self.counted_at_s > _NODES_S:
            self.counted_at_s, before, self.nodes = now, self.nodes, live_nodes()
            self.cores.nodes = {node.id: node.cpus for node in self.nodes.values()}
            for pool in self.pools:
                pool.forget_lost(self.nodes)
            for event, nodes, others in (
                ("node_joined", self.nodes, before),
                ("node_left", before, self.nodes),
            ):
                for node in (nodes[key] for key in nodes if key not in others):
                    self.schedule.events.emit(event, node=node.name, cpus=node.cpus)

    def _assign_tasks(self) -> None:
        """Assign tasks to idle actors, furthest downstream first."""
        while (
            self.launched_steps
            and not self.schedule.to_close
            and (launch := self.schedule.take(self.launched_steps))
        ):
            ref = start_launch(self.plan, self.plan_ref, launch)
            self.launches[ref] = launch
            self.cores.launched += self._cores_of(launch)
            self._when_done(ref, partial(self._finish_launch, ref))
        for pool in self.pools:
            for node, actors in pool.idle.items():
                while actors and self.cores.can_use(node, pool.needs.cpus):
                    tasks = self.messages.take(pool, self.deaths.of_tasks)
                    if not tasks:
                        break
                    actor = actors[-1]
                    self.cores.use(node, pool.needs.cpus)
                    self._when_done(pool.assign(actor, tasks), partial(self._finish_tasks, actor))

    def _size_pools(self) -> None:
        """Stop and start actors, unless that was decided just before."""
        now = time.monotonic()
        if now - self.sized_at_s > _SIZE_S or not (self.cores.running or self.opening):
            self.sized_at_s = now
            self._stop_unneeded_actors()
            self._start_actors()

    def _stop_unneeded_actors(self) -> None:
        """Stop the actors of steps that are done, and idle actors that occupy resources others need.

        Without this, two steps that need the only GPU would block each other: an idle actor of one step
        reserves it and waits for a part that the other step must make.
        """
        blocked = any(a.pool.reserves_resources and _waits_for_resources(a) for a in self.opening)
        for pool in self.pools:
            if pool.actors and all(self.schedule.steps[name].is_complete for name in pool.steps):
                pool.stop([actor for actor in pool.actors if not actor.tasks])
            elif blocked and pool.reserves_resources and not self._ready(pool):
                pool.stop([actor for actors in pool.idle.values() for actor in actors])

    def _ready(self, pool: Pool) -> int:
        ready = self.schedule.ready
        return sum(ready.get(name, 0) for name in pool.steps)

    def _start_actors(self) -> None:
        """Start actors where the ready tasks take longer than the start."""
        for pool in self.pools:
            node = self.cores.freest_node(pool.open_nodes(self.nodes.values()))
            starting = sum(not actor.pool.reserves_resources for actor in self.opening)
            too_many = not pool.reserves_resources and starting > len(self.cores.nodes) + 1
            if not node or too_many or self._is_full(pool):
                continue
            # The first actor of a step may start while all cores are busy, and so may one that reserves a
            # GPU: an idle actor uses no core, and gets the next task before the steps upstream.
            may_start = (
                not pool.actors or pool.reserves_resources or self.cores.can_use(node, pool.needs.cpus)
            )
            if (may_start and pool.needs_more_actors(self._ready(pool))) or self._gets_work_soon(pool):
                actor, opened = pool.start_actor(self.plan_ref, node)
                self.opening.add(actor)
                self._when_done(opened, partial(self._finish_start, actor))

    def _is_full(self, pool: Pool) -> bool:
        """Whether the steps without own processes have one for each core: more would not help."""
        return not pool.step and len(pool.actors) >= max(1.0, self.cores.maximum)

    def _gets_work_soon(self, pool: Pool) -> bool:
        """Whether a pool without actors gets a task as soon as a running task of its inputs is done."""
        if pool.actors or pool.needs.gpus:
            return False
        steps = [self.plan[name] for name in pool.steps if not self.schedule.steps[name].has_all_parts]
        inputs = {i for step in steps if step.kind not in ("survey", "model") for i in step.node.inputs}
        return any(self.schedule.steps[name].tasks for name in inputs)

    def _wait(self) -> None:
        if not (self.cores.running or self.opening or self.launches):
            self._work_here()
            return
        with suppress(Empty):
            finish, done = self.results.get(timeout=_OBSERVE_S)
            while True:
                finish(done)
                finish, done = self.results.get_nowait()

    def _work_here(self) -> None:
        """Close a table in this process, because no actor exists that could; else wait for a paused step."""
        if self.schedule.to_close:
            task = self.schedule.take(())
            assert task is not None
            self.schedule.finish(task, Worker(self.plan).run(task))
            return
        if not self.schedule.ready:
            self.schedule.check_pauses()
        time.sleep(0.01)

    def _when_done(self, ref: Any, finish: Callable[["Future[Any]"], None]) -> None:
        """Queue the result of a Ray call for `finish`: the driver need not ask for each of many calls."""
        ref.future().add_done_callback(lambda done: self.results.put((finish, done)))

    def _cores_of(self, launch: Task) -> float:
        needs = self.plan[launch.step].node.needs
        return needs.cpus * needs.ranks

    def _finish_start(self, actor: PoolActor, opened: "Future[Any]") -> None:
        self.opening.discard(actor)
        pool = actor.pool
        if actor not in pool.actors:
            return  # its step is done, and the pool has stopped it
        try:
            node = opened.result()
        except DIED as error:
            pool.remove(actor)
            self.deaths.at_start(pool, error)
            return
        if isinstance(node, TaskFailure):
            raise node.error from RuntimeError(node.trace)
        pool.opened(actor, node)
        actor.node_name = self.nodes[node].name if node in self.nodes else node

    def _finish_tasks(self, actor: PoolActor, done: "Future[Any]") -> None:
        tasks = actor.tasks
        self.cores.release(actor.node, actor.pool.needs.cpus)
        try:
            results = done.result()
        except DIED as error:
            actor.pool.remove(actor)
            # A task does not end its node.
            self.deaths.on_tasks(tasks, error, has_node=actor.node in live_nodes())
            return
        actor.pool.release(actor)
        self.schedule.nodes[actor.node_name] += NodeWork(len(tasks), time.monotonic() - actor.since)
        for task, result in zip(tasks, results, strict=False):
            if isinstance(result, TaskFailure):
                raise result.error from RuntimeError(result.trace)
            self.messages.measure(task, result.seconds)
            self.schedule.finish(task, result)
        for task in tasks[len(results) :]:
            self.schedule.requeue(task)

    def _finish_launch(self, ref: Any, done: "Future[Any]") -> None:
        task = self.launches.pop(ref)
        self.cores.launched -= self._cores_of(task)
        try:
            result = done.result()
        except RayError as error:
            raise StageFailed(
                f"{task} failed: {last_line(error)}",
                remedy="run again: training continues from its last checkpoint "
                "(--debug prints the whole traceback)",
            ) from error
        if isinstance(result, TaskFailure):
            raise result.error from RuntimeError(result.trace)
        self.schedule.finish(task, result)


def _waits_for_resources(actor: PoolActor) -> bool:
    """Whether an actor has waited longer than a process takes to start."""
    is_late = time.monotonic() - actor.since > _PLACEMENT_S
    return is_late and not ray.wait([actor.placed], timeout=0)[0]
