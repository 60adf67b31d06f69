"""The batch size of a stage in one process: halved when memory is not enough, and grown again slowly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pipeline.planning.plan import Step
from pipeline.stage import Annotate, Stage

_FIRST_WAIT = 16  # batches that must fit before a larger one is tried
_MAX_WAIT = 1024

Item = TypeVar("Item")


@dataclass(eq=False)
class BatchSize:
    """How many rows a stage gets in one call.

    Attributes:
        maximum: The size that the recipe sets.
        rows: The size that is used now.
        divided: How many batches were divided for lack of memory.
    """

    maximum: int
    rows: int = 0
    divided: int = 0
    _fitted: int = 0
    _wait: int = _FIRST_WAIT
    _is_trial: bool = False

    def __post_init__(self) -> None:
        self.rows = self.rows or self.maximum

    def split(self, rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Yield batches of the size that holds when each is taken."""
        start = 0
        while start < len(rows):
            end = start + self.rows
            yield rows[start:end]
            start = end

    def shrink(self, rows: int) -> None:
        """Note that a batch of `rows` rows did not fit: use half of it."""
        self.divided += 1
        if self._is_trial:  # a larger size was tried again in vain
            self._wait = min(2 * self._wait, _MAX_WAIT)
        self.rows = max(1, min(self.rows, rows // 2))
        self._fitted, self._is_trial = 0, False

    def fits(self, rows: int) -> None:
        """Note that a batch of `rows` rows fitted. After many of the present size, try twice as many."""
        if rows < self.rows:
            return
        self._fitted += 1
        if self._fitted >= self._wait:
            self._fitted, self._is_trial = 0, self.rows < self.maximum
            self.rows = min(2 * self.rows, self.maximum)


_SIZES: WeakKeyDictionary[Stage[Any, Any], dict[str, BatchSize]] = WeakKeyDictionary()


def batch_size(step: Step, stage: Stage[Any, Any]) -> BatchSize:
    """The batch size of a step, which this process keeps from part to part."""
    maximum = step.node.needs.batch if isinstance(stage, Annotate) else 1
    sizes = _SIZES.setdefault(stage, {})
    return sizes.setdefault(f"{step.name} {maximum}", BatchSize(maximum))
