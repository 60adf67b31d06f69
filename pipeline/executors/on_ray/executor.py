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
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, RayError

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
from pipeline.executors.on_ray.pool import PoolActor, TaskFailure, pools_of
from pipeline.executors.on_ray.sizing import Sizing
from pipeline.executors.on_ray.watch import StartWatch
from pipeline.executors.quick_steps import run_quick_steps, run_steps_without_rows
from pipeline.planning.plan import Plan

_OBSERVE_S = 0.5  # seconds between two calls of the observer
_NODES_S = 5.0  # seconds between two checks for nodes that joined or left
_SIZE_S = 0.05  # seconds between two decisions on how many actors a step has


class OnRay:
    """Runs plans on the Ray cluster at `address`, or on this machine.

    Args:
        address: Address of a running cluster ("auto", "10.0.0.1:6379"); None starts one on this machine.
        workers: Maximum number of CPU cores to use; 0 uses all.
        debug: Whether Ray prints its messages and those of its processes.
        row_timeout_s: Seconds after which a worker is ended in which a row is not finished; 0: never.
    """

    def __init__(
        self, address: str | None = None, workers: int = 0, *, debug: bool = False, row_timeout_s: float = 0.0
    ) -> None:
        self.address, self.workers, self.debug = address, workers, debug
        self.row_timeout_s = row_timeout_s

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
            guard.watch = start = StartWatch()
            with cluster(self.address, self.workers, start_watch=start, debug=self.debug) as guard.watch:
                check_resources(plan)
                run = _Run(plan, schedule, guard.stops(observer), self.workers, self.row_timeout_s)
                run.metrics = Metrics(schedule) if self.address else None  # Ray here exports none
                run.loop()

        if ray.is_initialized():
            work()
        else:
            guard.run(work)


class _Run:
    """The state of one run: which actor runs which tasks, and which nodes have free cores."""

    def __init__(
        self, plan: Plan, schedule: Schedule, observer: Observer, limit: int, row_timeout_s: float
    ) -> None:
        self.plan, self.schedule, self.observer = plan, schedule, observer
        self.cores = Cores(limit)
        self.pools = sorted(pools_of(plan), key=lambda pool: -max(plan[name].depth for name in pool.steps))
        self.launched_steps = [step.name for step in plan if step.kind == "model"]
        self.messages = Messages(schedule)
        # Only workers have the limit: this process must not be ended.
        self.plan_ref = ray.put(replace(plan, row_timeout_s=row_timeout_s))
        self.nodes: dict[str, Node] = {}
        self.results: SimpleQueue[tuple[Callable[[Future[Any]], None], Future[Any]]] = SimpleQueue()
        self.opening: set[PoolActor] = set()
        self.sizing = Sizing(plan, schedule, self.cores, self.opening)
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
            self._count_nodes(live_nodes())

    def _count_nodes(self, nodes: dict[str, Node]) -> None:
        """Note which nodes joined and left."""
        self.counted_at_s, before, self.nodes = time.monotonic(), self.nodes, nodes
        self.cores.nodes = {node.id: node.cpus for node in nodes.values()}
        self.sizing.nodes = nodes
        for pool in self.pools:
            pool.forget_lost(nodes)
        for node in (nodes[key] for key in nodes if key not in before):
            self.schedule.nodes[node.name] += NodeWork(cpus=node.cpus)
            self.schedule.events.emit("node_joined", node=node.name, cpus=node.cpus)
        for node in (before[key] for key in before if key not in nodes):
            self.schedule.events.emit("node_left", node=node.name, cpus=node.cpus)

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
        if now - self.sized_at_s <= _SIZE_S and (self.cores.running or self.opening):
            return
        self.sized_at_s = now
        run_steps_without_rows(self.plan, self.schedule)
        for pool in self.pools:
            pool.stop(self.sizing.unneeded(pool))
        for pool in self.pools:
            if node := self.sizing.next_node(pool):
                actor, opened = pool.start_actor(self.plan_ref, node)
                self.opening.add(actor)
                self._when_done(opened, partial(self._finish_start, actor))

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
            self._count_nodes(live_nodes())
            if not isinstance(error, ActorUnschedulableError):  # else Ray does not know the node yet
                self.deaths.at_start(pool, error, has_node=actor.node in self.nodes)
            return
        if isinstance(node, TaskFailure):
            raise node.error from RuntimeError(node.trace)
        if node not in self.nodes:
            self._count_nodes(live_nodes())
        name = self.nodes[node].name if node in self.nodes else node
        seconds = round(time.monotonic() - actor.since, 3)
        pool.opened(actor, node, name)
        self.schedule.nodes[name] += NodeWork(workers=1)
        self.schedule.events.emit("worker_started", step=pool.step, node=name, seconds=seconds)

    def _finish_tasks(self, actor: PoolActor, done: "Future[Any]") -> None:
        tasks = actor.tasks
        self.cores.release(actor.node, actor.pool.needs.cpus)
        try:
            results = done.result()
        except DIED as error:
            actor.pool.remove(actor)
            self._count_nodes(live_nodes())
            self.deaths.on_tasks(tasks, error, has_node=actor.node in self.nodes)  # no task ends its node
            return
        actor.pool.release(actor)
        seconds = time.monotonic() - actor.since
        self.schedule.nodes[actor.node_name] += NodeWork(tasks=len(tasks), busy_s=seconds)
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
