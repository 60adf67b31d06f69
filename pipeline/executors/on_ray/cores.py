"""Counts the cores of the nodes that tasks use. Ray does not know them: an idle actor reserves none."""

from collections.abc import Iterable, Mapping

_ROUNDING = 1e-6  # cores


class Cores:
    """The cores of a cluster.

    Args:
        limit: Maximum number of cores to use; 0 uses all.

    Attributes:
        nodes: The cores of each live node, by node id.
        running: How many actors run tasks.
        launched: Cores that launches use, on nodes that Ray chooses.
    """

    def __init__(self, limit: float = 0) -> None:
        self.limit = limit
        self.nodes: Mapping[str, float] = {}
        self.running = 0
        self.launched = 0.0
        self._used: dict[str, float] = {}
        self._all_used = 0.0

    @property
    def maximum(self) -> float:
        """How many cores the run may use."""
        return self.limit or sum(self.nodes.values(), 0.0)

    def use(self, node: str, cores: float) -> None:
        """Note that an actor starts to run tasks."""
        self.running += 1
        self._add(node, cores)

    def release(self, node: str, cores: float) -> None:
        """Note that an actor runs no tasks any more."""
        self.running -= 1
        self._add(node, -cores)

    def can_use(self, node: str, cores: float, starting: float = 0.0) -> bool:
        """Whether tasks may start on a node. Tasks that need more cores than it has run there alone.

        Args:
            starting: Cores of this node for whose tasks processes start.
        """
        needed = min(cores, self.nodes.get(node, 0.0), self.maximum) + starting - _ROUNDING
        used = self._all_used + self.launched
        is_free = needed <= self._free(node) and used + needed <= self.maximum
        return is_free or not (self.running or starting)

    def freest_node(self, nodes: Iterable[str], starting: Mapping[str, float]) -> str:
        """The one of these nodes with the most cores for which no task runs and no process starts; or ""."""
        return max(nodes, key=lambda node: self._free(node) - starting.get(node, 0.0), default="")

    def _add(self, node: str, cores: float) -> None:
        self._used[node] = self._used.get(node, 0.0) + cores
        self._all_used += cores

    def _free(self, node: str) -> float:
        return self.nodes.get(node, 0.0) - self._used.get(node, 0.0)
