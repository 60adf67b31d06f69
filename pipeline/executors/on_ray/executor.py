"""Carries out a plan on Ray: each free worker takes the next part whose inputs are there.

Ray places, starts and watches the processes; what is ours is the bookkeeping of parts. Only tasks
and sums travel. A worker that dies is replaced and its task offered again; the part's journal
knows which row it died on, and a row that kills twice is set aside there.
"""

import time
from collections import Counter
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError

from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin
from pipeline.engine.task import Task
from pipeline.errors import StageFailed
from pipeline.executor import Watch
from pipeline.executors.deciding import decide_here
from pipeline.executors.on_ray.cluster import check_room, cluster, nodes
from pipeline.executors.on_ray.launching import start_launch
from pipeline.executors.on_ray.pool import Failed, Member, Pool, pools_of
from pipeline.planning.plan import Plan

_LOOK_S = 0.5
_NODES_S = 5.0  # how often nodes that came or went are looked for
_STARTS = 3  # starts in a row that may fail
_PATIENCE_S = 5.0  # longer than a process takes to start
_DIED = (RayActorError, OutOfMemoryError)  # Ray's own memory monitor kills too
_BY_ROW = ("part", "piece", "join")  # phases that set aside what kills their workers
_DEATHS = 200  # deaths over one task, far more than its rows can cause


class OnRay:
    """Runs plans on the cluster at `address`, or on this machine.

    Args:
        address: of a running cluster ("auto", "10.0.0.1:6379"); None starts one here.
        workers: cores to use at most; 0 takes all.
    """

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        self.address, self.workers = address, workers

    def run(self, plan: Plan, watch: Watch) -> Schedule:
        for step in plan:
            begin(plan, step)
        schedule = Schedule(plan)
        watch.look(schedule)
        if not (self.address or ray.is_initialized()):
            decide_here(plan, schedule, watch)
        if not schedule.finished:
            with cluster(self.address, self.workers):
                check_room(plan)
                _Run(plan, schedule, watch, self.workers).go()
        watch.look(schedule)
        return schedule


class _Run:
    """One run's state: who works on what, and where cores are free."""

    def __init__(self, plan: Plan, schedule: Schedule, watch: Watch, limit: int) -> None:
        self.plan, self.schedule, self.watch, self.limit = plan, schedule, watch, limit
        self.pools = pools_of(plan)
        self.plan_ref = ray.put(plan)
        self.working: dict[Any, Member] = {}
        self.opening: dict[Any, Member] = {}
        self.launched: dict[Any, Task] = {}
        self.deaths: Counter[Task] = Counter()
        self.nodes: dict[str, float] = {}
        self.looked = self.counted = 0.0

    def go(self) -> None:
        try:
            while not self.schedule.finished:
                self._look()
                self._retire()
                self._hand_out()
                self._wait()
        finally:
            for pool in self.pools:
                pool.dismiss()
            for ref in self.launched:
                ray.cancel(ref, force=True)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self.looked > _LOOK_S:
            self.looked = now
            self.watch.look(self.schedule)
        if now - self.counted > _NODES_S:
            self.counted, self.nodes = now, nodes()

    def _retire(self) -> None:
        """End the actors of steps that are done, and idle ones that keep others from starting.

        Two steps that each need the only GPU would wait for each other for ever: one holds it with
        nothing to do until the other has made a part.
        """
        blocked = any(m.pool.holds and _waits_for_room(m) for m in self.opening.values())
        for pool in self.pools:
            if pool.members and all(self.schedule.steps[name].whole for name in pool.steps):
                pool.dismiss()
            elif blocked and pool.holds and not any(name in self.schedule.waiting for name in pool.steps):
                pool.dismiss(idle=True)

    def _hand_out(self) -> None:
        """Give tasks to idle workers, downstream first, and start workers where that pays."""
        depth = self.plan.steps
        order = sorted(self.pools, key=lambda p: -max(depth[name].depth for name in p.steps))
        for pool in order:
            for member in pool.idle():
                if not self._room(pool, member.node):
                    continue
                task = self._next(pool)
                if task is None:
                    break
                self.working[pool.hand_out(member, task)] = member
        for pool in order:
            ready = sum(self.schedule.waiting.get(name, 0) for name in pool.steps)
            node = self._freest()
            starting = sum(not m.pool.holds for m in self.opening.values())
            if not node or (not pool.holds and starting > len(self.nodes) + 1) or self._enough(pool):
                continue
            # the first of a step starts beside others that keep all cores busy, and so does one that
            # brings its own GPU: an idle actor uses no core, and takes the next before those upstream
            free = not pool.members or pool.holds or self._room(pool, node)
            if (free and pool.wants_more(ready)) or self._soon(pool):
                member, opened = pool.grow(self.plan_ref, node)
                self.opening[opened] = member

    def _enough(self, pool: Pool) -> bool:
        """Whether the rules have a worker for each core: they compute, and more would only be started."""
        cores = float(self.limit) or sum(self.nodes.values(), 0.0)
        return not pool.opens and len(pool.members) >= max(1.0, cores)

    def _soon(self, pool: Pool) -> bool:
        """Whether a pool without actors gets work as soon as a part that is in hand is finished."""
        if pool.members or pool.needs.gpus:
            return False
        steps = [self.plan[name] for name in pool.steps]
        before = {i for step in steps if step.kind not in ("survey", "model") for i in step.node.inputs}
        return any(self.schedule.steps[name].busy for name in before)

    def _next(self, pool: Pool) -> Task | None:
        while task := self.schedule.take(pool.steps):
            if task.phase != "launch":
                return task
            self.launched[start_launch(self.plan, self.plan_ref, task)] = task
        return None

    def _wait(self) -> None:
        refs = [*self.working, *self.opening, *self.launched]
        if not refs:
            if not self.schedule.waiting:
                self.schedule.rest()
            time.sleep(0.01)
            return
        ready, _ = ray.wait(refs, num_returns=1, timeout=_LOOK_S)
        ready += (
            ray.wait([r for r in refs if r not in ready], num_returns=1, timeout=0)[0] if ready[1:] else []
        )
        for ref in ready:
            if ref in self.opening:
                self._opened(ref, self.opening.pop(ref))
            elif ref in self.working:
                self._answered(ref, self.working.pop(ref))
            else:
                self._launched(ref, self.launched.pop(ref))

    def _opened(self, ref: Any, member: Member) -> None:
        pool = member.pool
        if member not in pool.members:
            return  # its step was finished meanwhile, and the pool dismissed
        try:
            said = ray.get(ref)
        except _DIED as error:
            pool.members.remove(member)
            pool.failed_starts += 1
            if pool.failed_starts >= _STARTS:
                raise StageFailed(
                    f"the workers of step {pool.opens} died {_STARTS} times while starting",
                    remedy="see whether memory suffices; --inline runs the step in this process",
                ) from error
            return
        if isinstance(said, Failed):
            raise said.error from RuntimeError(said.trace)
        pool.failed_starts = 0
        member.opened, member.node = True, said

    def _answered(self, ref: Any, member: Member) -> None:
        task = member.task
        assert task is not None
        try:
            said = ray.get(ref)
        except _DIED as error:
            member.pool.members.remove(member)
            self.deaths[task] += 1
            if self.deaths[task] >= _DEATHS or (task.phase not in _BY_ROW and self.deaths[task] >= _STARTS):
                raise StageFailed(
                    f"{task}: its worker died {self.deaths[task]} times",
                    remedy="see whether memory suffices; `clipmill replay` runs one row in this process",
                ) from error
            self.schedule.give_back(task)
            return
        member.pool.take_back(member)
        if isinstance(said, Failed):
            raise said.error from RuntimeError(said.trace)
        self.schedule.finish(task, said)

    def _launched(self, ref: Any, task: Task) -> None:
        try:
            said = ray.get(ref)
        except RayError as error:
            raise StageFailed(
                f"{task} failed: {_last_line(error)}",
                remedy="run again: training goes on from its last checkpoint (--debug shows all)",
            ) from error
        if isinstance(said, Failed):
            raise said.error from RuntimeError(said.trace)
        self.schedule.finish(task, said)

    def _free(self, node: str) -> float:
        """Cores of a node that no task is using."""
        members = [m for m in self.working.values() if m.node == node]
        return self.nodes.get(node, 0.0) - sum(m.pool.needs.cpus for m in members)

    def _freest(self) -> str:
        return max(self.nodes, key=self._free, default="")

    def _room(self, pool: Pool, node: str) -> bool:
        """Whether a task of this pool may start on a node; one that is larger than the node runs alone."""
        launches = [self.plan[t.step].node.needs for t in self.launched.values()]
        used = sum(m.pool.needs.cpus for m in self.working.values())
        used += sum(needs.cpus * needs.ranks for needs in launches)
        limit = float(self.limit) or sum(self.nodes.values(), 0.0)
        fits = pool.needs.cpus <= self._free(node) and used + pool.needs.cpus <= limit
        return fits or not self.working


def _waits_for_room(member: Member) -> bool:
    """Whether Ray has found no room for an actor for a while."""
    late = time.monotonic() - member.since > _PATIENCE_S
    return late and not ray.wait([member.placed], timeout=0)[0]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
