"""Decides how many actors each step has, and on which nodes they start."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import ray

from pipeline.engine.schedule import Schedule
from pipeline.executors.on_ray.cores import Cores
from pipeline.executors.on_ray.nodes import Node
from pipeline.executors.on_ray.pool import Pool, PoolActor
from pipeline.planning.plan import Plan

_PLACEMENT_S = 5.0  # seconds; a process that has resources starts in less
_MIN_STARTS = 3  # processes that may start on a node at the same time, whatever cores it has


class Sizing:
    """Chooses the actors to start and to stop.

    Args:
        opening: All actors that start.

    Attributes:
        nodes: The live nodes by id.
    """

    def __init__(self, plan: Plan, schedule: Schedule, cores: Cores, opening: Collection[PoolActor]) -> None:
        self.plan, self.schedule, self.cores, self.opening = plan, schedule, cores, opening
        self.nodes: Mapping[str, Node] = {}

    def unneeded(self, pool: Pool) -> list[PoolActor]:
        """The actors to stop: those of steps that are done, and idle ones that occupy what others need.

        Without this, two steps that need the only GPU would block each other: an idle actor of one step
        reserves it and waits for a part that the other step must make.
        """
        if pool.actors and all(self.schedule.steps[name].is_complete for name in pool.steps):
            return [actor for actor in pool.actors if not actor.tasks]
        if pool.reserves_resources and not self._ready(pool) and self._is_blocked():
            return [actor for actors in pool.idle.values() for actor in actors]
        return []

    def next_node(self, pool: Pool) -> str:
        """The node on which one more actor of a pool should start now; "" if none should."""
        if self._is_full(pool):
            return ""
        starts = Counter(actor.node for actor in self.opening if not actor.pool.reserves_resources)
        nodes = pool.open_nodes(self.nodes.values())
        if not pool.reserves_resources:
            nodes = [node for node in nodes if starts[node] < max(_MIN_STARTS, self.cores.nodes[node] // 2)]
        node = self.cores.freest_node(nodes, self._starting(self.opening))
        if not node:
            return ""
        needed = pool.needs_more_actors(self._ready(pool)) and self._may_start(pool, node)
        return node if needed or self._gets_work_soon(pool) else ""

    def _may_start(self, pool: Pool, node: str) -> bool:
        """Whether one more actor of a pool would get a task, as far as cores and GPUs are concerned.

        The first actor of a step may start while all cores are busy, and so may one that reserves a GPU: an
        idle actor uses no core, and gets the next task before the steps upstream.
        """
        cpus = pool.needs.cpus
        if any(idle and self.cores.can_use(place, cpus) for place, idle in pool.idle.items()):
            return False
        opening = [actor for actor in self.opening if actor.pool is pool]
        if pool.reserves_resources:
            return all(is_placed(actor) for actor in opening)
        return not pool.actors or self.cores.can_use(node, cpus, self._starting(opening)[node])

    def _starting(self, opening: Collection[PoolActor]) -> Mapping[str, float]:
        """Cores, by node, that the tasks of starting actors will use."""
        cores: dict[str, float] = defaultdict(float)
        for actor in opening:
            cores[actor.node] += actor.pool.needs.cpus
        return cores

    def _ready(self, pool: Pool) -> int:
        ready = self.schedule.ready
        return sum(ready.get(name, 0) for name in pool.steps)

    def _is_blocked(self) -> bool:
        """Whether an actor waits for a GPU or memory longer than a process takes to start."""
        late = time.monotonic() - _PLACEMENT_S
        return any(a.pool.reserves_resources and a.since < late and not is_placed(a) for a in self.opening)

    def _is_full(self, pool: Pool) -> bool:
        """Whether a pool has as many actors as can run tasks on the cores that the run may use."""
        return bool(self.cores.limit) and len(pool.actors) >= pool.most_running(self.cores.limit)

    def _gets_work_soon(self, pool: Pool) -> bool:
        """Whether a pool without actors gets a task as soon as a running task of its inputs is done."""
        if pool.actors or pool.needs.gpus:
            return False
        steps = [self.plan[name] for name in pool.steps if not self.schedule.steps[name].has_all_parts]
        inputs = {i for step in steps if step.kind not in ("survey", "model") for i in step.node.inputs}
        return any(self.schedule.steps[name].tasks for name in inputs)


def is_placed(actor: PoolActor) -> bool:
    """Whether Ray has found the resources of an actor, and its process runs."""
    return bool(ray.wait([actor.placed], timeout=0)[0])
