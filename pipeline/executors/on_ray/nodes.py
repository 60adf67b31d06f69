"""The nodes of a cluster: their names and resources, and whether they can hold the workers of a plan."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import ray

from pipeline.errors import PlanError
from pipeline.needs import Needs
from pipeline.planning.plan import Plan

_MAX_NODES = 8  # kinds of nodes that a message lists


@dataclass(frozen=True)
class Node:
    """A live node of the cluster.

    Attributes:
        id: Its id in Ray.
        name: The name of its host, followed by the start of the id if the host has several nodes.
        cpus: Logical CPU cores.
        gpus: GPUs.
        memory: Main memory for workers in bytes.
    """

    id: str
    name: str
    cpus: float
    gpus: float
    memory: float

    def can_hold(self, needs: Needs) -> bool:
        """Whether a worker fits. One that needs more cores than the node has runs there alone."""
        return self.cpus > 0 and needs.gpus <= self.gpus and needs.memory_gb * 2**30 <= self.memory

    def resources(self) -> str:
        gpus = f"{self.gpus:g} GPU" if self.gpus else "no GPU"
        return f"{self.cpus:g} CPU, {gpus}, {self.memory / 2**30:.1f} GiB"


def live_nodes() -> dict[str, Node]:
    """The live nodes by id, ordered by name."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(str(node["NodeManagerHostname"]) for node in alive)
    found = []
    for node in alive:
        host, amounts = str(node["NodeManagerHostname"]), node["Resources"]
        found.append(
            Node(
                id=str(node["NodeID"]),
                name=host if hosts[host] == 1 else f"{host}-{str(node['NodeID'])[:6]}",
                cpus=float(amounts.get("CPU", 0.0)),
                gpus=float(amounts.get("GPU", 0.0)),
                memory=float(amounts.get("memory", 0.0)),
            )
        )
    return {node.id: node for node in sorted(found, key=lambda node: node.name)}


def check_resources(plan: Plan) -> None:
    """Fail before anything runs if no node can hold a worker of some step.

    Raises:
        PlanError: a step needs more GPUs or memory than any node has, or a launch more GPUs than all.
    """
    nodes = [*live_nodes().values()]
    gpus = sum(node.gpus for node in nodes)
    for step in plan:
        needs = step.node.needs
        if step.kind == "model" and needs.gpus * needs.ranks > gpus:
            raise PlanError(
                f"step {step.name} needs {needs.ranks} ranks of {needs.gpus:g} GPUs; all nodes have {gpus:g}",
                where=_list_nodes(nodes),
                remedy="request fewer ranks with `.on(ranks=…)`, or use a cluster with more GPUs",
            )
        if not any(node.can_hold(needs) for node in nodes):
            raise PlanError(
                f"a worker of step {step.name} needs {_amounts(needs)}; no node has that",
                where=_list_nodes(nodes),
                remedy="request less with `.on(…)`, or use a cluster with larger nodes",
            )


def _amounts(needs: Needs) -> str:
    amounts: Mapping[str, float] = {"GPU": needs.gpus, "GiB of memory": needs.memory_gb}
    return " and ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount) or "a CPU"


def _list_nodes(nodes: list[Node]) -> str:
    """The resources of all nodes; equal nodes are counted and named by the first of them."""
    kinds: dict[str, list[Node]] = {}
    for node in nodes:
        kinds.setdefault(node.resources(), []).append(node)
    texts = [
        f"{same[0].name}{f' and {len(same) - 1} more' if same[1:] else ''}: {text}"
        for text, same in kinds.items()
    ]
    more = f"; and {len(texts) - _MAX_NODES} other kinds of nodes" if len(texts) > _MAX_NODES else ""
    return "; ".join(texts[:_MAX_NODES]) + more
