"""Runs a plan on Ray: each idle worker gets the next part whose inputs exist.

Ray places, starts and monitors the processes; this module keeps track of the parts. Only tasks and row
counts are sent between processes. If a worker dies, it is replaced and its task is queued again. The
journal of the part shows on which row it died; a row on which two workers died is rejected.
"""

import time
from collections import Counter
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, OutOfMemoryError, RayActorError, RayError

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.steps.storing import one_line
from pipeline.engine.task import NodeWork, Task
from pipeline.errors import StageFailed
from pipeline.executor import Observer
from pipeline.executors.on_ray.cluster import cluster
from pipeline.executors.on_ray.guard import Guard
from pipeline.executors.on_ray.launching import start_launch
from pipeline.executors.on_ray.metrics import Metrics
from pipeline.executors.on_ray.nodes import check_resources, node_cores, node_name
from pipeline.executors.on_ray.pool import Pool, PoolActor, TaskFailure, pools_of
from pipeline.executors.quick_steps import run_quick_steps
from pipeline.planning.plan import Plan

_OBSERVE_S = 0.5  # seconds between two calls of the observer
_NODES_S = 5.0  # seconds between two checks for nodes that joined or left
_MAX_STARTS = 3  # failed starts in a row until the run fails
_PLACEMENT_S = 5.0  # seconds; a process that has resources starts in less
# Ray's own memory monitor kills too; an actor whose node has left cannot be placed.
_DIED = (RayActorError, OutOfMemoryError, ActorUnschedulableError)
_REJECTING = ("part", "piece", "join")  # phases that reject a row on which workers died
_MAX_DEATHS = 200  # of workers on one task: far more than its rows can cause


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
    """The state of one run: which actor runs which task, and which nodes have free cores."""

    def __init__(self, plan: Plan, schedule: Schedule, observer: Observer, limit: int) -> None:
        self.plan, self.schedule, self.observer, self.limit = plan, schedule, observer, limit
        self.pools = pools_of(plan)
        self.plan_ref = ray.put(plan)
        self.running: dict[Any, PoolActor] = {}
        self.opening: dict[Any, PoolActor] = {}
        self.launches: dict[Any, Task] = {}
        self.deaths: Counter[Task] = Counter()
        self.nodes: dict[str, float] = {}
        self.metrics: Metrics | None = None
        self.observed_at_s = self.counted_at_s = 0.0

    def loop(self) -> None:
        try:
            while not self.schedule.is_finished:
                self._observe()
                self._stop_unneeded_actors()
                self._assign_tasks()
                self._start_actors()
                self._wait()
        finally:
            for pool in self.pools:
                pool.stop()
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
            self.counted_at_s, before, self.nodes = now, self.nodes, node_cores()
            for pool in self.pools:
                pool.forget_lost(self.nodes)
            for name, cpus in self.nodes.items() - before.items():
                self.schedule.events.emit("node_joined", node=name, cpus=cpus)
            for name, cpus in before.items() - self.nodes.items():
                self.schedule.events.emit("node_left", node=name, cpus=cpus)

    def _stop_unneeded_actors(self) -> None:
        """Stop the actors of steps that are done, and idle actors that occupy resources others need.

        Without this, two steps that need the only GPU would block each other: an idle actor of one step
        reserves it and waits for a part that the other step must make.
        """
        blocked = any(a.pool.reserves_resources and _waits_for_resources(a) for a in self.opening.values())
        for pool in self.pools:
            if pool.actors and all(self.schedule.steps[name].is_complete for name in pool.steps):
                pool.stop()
            elif (
                blocked
                and pool.reserves_resources
                and not any(name in self.schedule.ready for name in pool.steps)
            ):
                pool.stop(idle=True)

    def _downstream_first(self) -> list[Pool]:
        steps = self.plan.steps
        return sorted(self.pools, key=lambda pool: -max(steps[name].depth for name in pool.steps))

    def _assign_tasks(self) -> None:
        """Assign tasks to idle actors, furthest downstream first."""
        for pool in self._downstream_first():
            for actor in pool.idle():
                if not self._has_free_cores(pool, actor.node):
                    continue
                task = self._next_task(pool)
                if task is None:
                    break
                self.running[pool.assign(actor, task)] = actor

    def _start_actors(self) -> None:
        """Start actors where the ready tasks take longer than the start."""
        for pool in self._downstream_first():
            ready = sum(self.schedule.ready.get(name, 0) for name in pool.steps)
            node = max(pool.open_nodes(self.nodes), key=self._free_cores, default="")
            starting = sum(not a.pool.reserves_resources for a in self.opening.values())
            too_many = not pool.reserves_resources and starting > len(self.nodes) + 1
            if not node or too_many or self._is_full(pool):
                continue
            # The first actor of a step may start while all cores are busy, and so may one that reserves a
            # GPU: an idle actor uses no core, and gets the next task before the steps upstream.
            may_start = not pool.actors or pool.reserves_resources or self._has_free_cores(pool, node)
            if (may_start and pool.needs_more_actors(ready)) or self._gets_work_soon(pool):
                actor, opened = pool.start_actor(self.plan_ref, node)
                self.opening[opened] = actor

    def _is_full(self, pool: Pool) -> bool:
        """Whether the rules have an actor for each core: they only compute, so more would not help."""
        cores = float(self.limit) or sum(self.nodes.values(), 0.0)
        return not pool.step and len(pool.actors) >= max(1.0, cores)

    def _gets_work_soon(self, pool: Pool) -> bool:
        """Whether a pool without actors gets a task as soon as a running task of its inputs is done."""
        if pool.actors or pool.needs.gpus:
            return False
        steps = [self.plan[name] for name in pool.steps]
        inputs = {i for step in steps if step.kind not in ("survey", "model") for i in step.node.inputs}
        return any(self.schedule.steps[name].running for name in inputs)

    def _next_task(self, pool: Pool) -> Task | None:
        while task := self.schedule.take(pool.steps):
            if task.phase != "launch":
                return task
            self.launches[start_launch(self.plan, self.plan_ref, task)] = task
        return None

    def _wait(self) -> None:
        refs = [*self.running, *self.opening, *self.launches]
        if not refs:
            if not self.schedule.ready:
                self.schedule.check_pauses()
            time.sleep(0.01)
            return
        ready, _ = ray.wait(refs, num_returns=1, timeout=_OBSERVE_S)
        ready += (
            ray.wait([r for r in refs if r not in ready], num_returns=1, timeout=0)[0] if ready[1:] else []
        )
        for ref in ready:
            if ref in self.opening:
                self._finish_start(ref, self.opening.pop(ref))
            elif ref in self.running:
                self._finish_task(ref, self.running.pop(ref))
            else:
                self._finish_launch(ref, self.launches.pop(ref))

    def _finish_start(self, ref: Any, actor: PoolActor) -> None:
        pool = actor.pool
        if actor not in pool.actors:
            return  # its step is done, and the pool has stopped it
        try:
            node = ray.get(ref)
        except _DIED as error:
            pool.actors.remove(actor)
            pool.failed_starts += 1
            self._emit_death(pool.step, "start", pool.failed_starts, error)
            if pool.failed_starts >= _MAX_STARTS:
                raise StageFailed(
                    f"the worker of step {pool.step} died {_MAX_STARTS} times while starting",
                    remedy="check that enough memory is free; --inline runs the step in this process",
                ) from error
            return
        if isinstance(node, TaskFailure):
            raise node.error from RuntimeError(node.trace)
        pool.failed_starts = 0
        actor.is_open, actor.node = True, node
        actor.node_name = node_name(node)

    def _finish_task(self, ref: Any, actor: PoolActor) -> None:
        task = actor.task
        assert task is not None
        try:
            result = ray.get(ref)
        except _DIED as error:
            actor.pool.actors.remove(actor)
            self.deaths[task] += actor.node in node_cores()  # a task does not end its node
            self._emit_death(task.step, str(task), self.deaths[task], error)
            max_deaths = _MAX_DEATHS if task.phase in _REJECTING else _MAX_STARTS
            if self.deaths[task] >= max_deaths:
                raise StageFailed(
                    f"the worker of task {task} died {self.deaths[task]} times",
                    remedy="check that enough memory is free; `clipmill replay` runs one row in this process",
                ) from error
            self.schedule.requeue(task)
            return
        actor.pool.release(actor)
        self.schedule.nodes[actor.node_name] += NodeWork(1, time.monotonic() - actor.since)
        if isinstance(result, TaskFailure):
            raise result.error from RuntimeError(result.trace)
        self.schedule.finish(task, result)

    def _emit_death(self, step: str, task: str, deaths: int, error: Exception) -> None:
        reason = one_line(f"{type(error).__name__}: {_last_line(error)}")
        self.schedule.events.emit("worker_died", step=step, task=task, deaths=deaths, reason=reason)

    def _finish_launch(self, ref: Any, task: Task) -> None:
        try:
            result = ray.get(ref)
        except RayError as error:
            raise StageFailed(
                f"{task} failed: {_last_line(error)}",
                remedy="run again: training continues from its last checkpoint "
                "(--debug prints the whole traceback)",
            ) from error
        if isinstance(result, TaskFailure):
            raise result.error from RuntimeError(result.trace)
        self.schedule.finish(task, result)

    def _free_cores(self, node: str) -> float:
        """Cores of a node that no task uses."""
        actors = [a for a in self.running.values() if a.node == node]
        return self.nodes.get(node, 0.0) - sum(a.pool.needs.cpus for a in actors)

    def _has_free_cores(self, pool: Pool, node: str) -> bool:
        """Whether a task of this pool may start on a node. A task that needs more cores runs alone."""
        launches = [self.plan[t.step].node.needs for t in self.launches.values()]
        used = sum(actor.pool.needs.cpus for actor in self.running.values())
        used += sum(needs.cpus * needs.ranks for needs in launches)
        limit = float(self.limit) or sum(self.nodes.values(), 0.0)
        fits = pool.needs.cpus <= self._free_cores(node) and used + pool.needs.cpus <= limit
        return fits or not self.running


def _waits_for_resources(actor: PoolActor) -> bool:
    """Whether an actor has waited longer than a process takes to start."""
    is_late = time.monotonic() - actor.since > _PLACEMENT_S
    return is_late and not ray.wait([actor.placed], timeout=0)[0]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
