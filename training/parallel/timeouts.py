"""How long the ranks of a training wait for each other: longer where one of them may have more to do."""

from collections.abc import Hashable, Iterable

from training.parallel.mesh import Mesh, set_timeout


class Timeouts:
    """The timeouts of communication of a training. All ranks call the same methods.

    Args:
        mesh: The ranks. They now wait as long as `long_s`.
        long_s: Timeout in s of steps where kernels are compiled or chosen, of validation, and of the export.
        short_s: Timeout in s of other steps.
    """

    def __init__(self, mesh: Mesh, long_s: float, short_s: float) -> None:
        self._mesh, self._long_s, self._short_s = mesh, long_s, short_s
        self._known: set[Hashable] = set()

    def lengthen(self) -> None:
        """Wait long, until `shorten` is called."""
        set_timeout(self._mesh, self._long_s)

    def shorten(self) -> None:
        """Wait a short time from now on."""
        set_timeout(self._mesh, self._short_s)

    def before_step(self, shapes: Iterable[Hashable]) -> None:
        """Wait long if the step has batches of new shapes, for which kernels may be compiled."""
        if not self._known.issuperset(shapes := set(shapes)):
            self.lengthen()
            self._known |= shapes
