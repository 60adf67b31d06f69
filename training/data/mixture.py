"""A mixture of orders: each step belongs to one of them, in stated shares.

Of two orders with shares 1/4 and 3/4, every fourth step belongs to the first: before step s it has had
exactly floor(s / 4) steps. So the step is the whole state, the shares are exact over any window, and nothing
depends on the number of ranks. More orders are divided two by two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from training.data.order import SampleIndex, SampleOrder

MAX_DENOMINATOR = 1_000_000  # shares are rounded to fractions of at most this denominator


class Order(Protocol):
    """Which samples each step reads, as a pure function of the step."""

    def batch(self, step: int) -> tuple[int, list[SampleIndex]]:
        """The bucket of a step, and the indices of its samples."""
        ...

    def replacement(self, step: int, place: int, attempt: int) -> SampleIndex:
        """The sample that is tried as number `attempt` in a place of a batch, if another is to be skipped."""
        ...


@dataclass(frozen=True, eq=False)
class MixedOrder:
    """Alternates between orders of different samples of the same shards.

    Attributes:
        orders: One order for each group of samples, such as images, or those of one data set.
        buckets: For each order, the numbers of its buckets among those of the shards.
        shares: For each order, its share of the steps. They sum to 1.
    """

    orders: Sequence[SampleOrder]
    buckets: Sequence[Sequence[int]]
    shares: Sequence[float]

    def batch(self, step: int) -> tuple[int, list[SampleIndex]]:
        """The bucket of a step, and the indices of its samples."""
        group, number = self._locate(step)
        bucket, indices = self.orders[group].batch(number)
        return self.buckets[group][bucket], indices

    def replacement(self, step: int, place: int, attempt: int) -> SampleIndex:
        """The sample that is tried as number `attempt` in a place of a batch, if another is to be skipped."""
        group, number = self._locate(step)
        return self.orders[group].replacement(number, place, attempt)

    def _locate(self, step: int) -> tuple[int, int]:
        """The order of a step, and the number of the step among those of that order."""
        rest = Fraction(1)
        for group, value in enumerate(self.shares[:-1]):
            share = Fraction(value).limit_denominator(MAX_DENOMINATOR)
            of_rest = min(Fraction(1), share / rest) if rest > 0 else Fraction(0)
            before, after = step * of_rest // 1, (step + 1) * of_rest // 1
            if after > before:
                return group, before
            step, rest = step - before, rest - share
        return len(self.shares) - 1, step
