"""What a value means: `column` declares a column of a row, and `Range` the numbers that a setting may be."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be: `crf: Annotated[int, Range(0, 51)] = 20`.

    Attributes:
        min, max: The lowest and the highest number; None is no limit.
        above, below: The number must be higher, or lower, than this; None is no limit.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None

    def contains(self, value: float) -> bool:
        """Whether a number is in the range."""
        return math.isfinite(value) and (
            (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def argument(self, kind: Callable[[str], float] = int) -> Callable[[str], float]:
        """A `type` for `add_argument` that reads a number of this range."""

        def read(text: str) -> float:
            try:
                value = kind(text)
            except ValueError:
                raise ArgumentTypeError(f"{text!r} is not a number, {self}") from None
            if not self.contains(value):
                raise ArgumentTypeError(f"{text} is out of range; allowed: {self}")
            return value

        return read

    def json_schema(self) -> dict[str, float]:
        """The keywords of JSON schema for this range."""
        limits = {"minimum": self.min, "maximum": self.max}
        limits |= {"exclusiveMinimum": self.above, "exclusiveMaximum": self.below}
        return {keyword: limit for keyword, limit in limits.items() if limit is not None}

    def __str__(self) -> str:
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        words = (("at least", self.min), ("above", self.above), ("at most", self.max), ("below", self.below))
        return " and ".join(f"{word} {limit:g}" for word, limit in words if limit is not None)


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]


def column(
    meaning: str,
    *,
    unit: str = "",
    key: bool = False,
    by_id: bool = False,
    group: bool = False,
    default: Any = MISSING,
) -> Any:
    """Declare one column of a `Row`.

    Args:
        meaning: What the value means, in a few words. Written into the Parquet schema.
        unit: "s", "px", "px/frame", "0..1", "1" and so on. Required for floats; empty for names and flags.
        key: The value is part of the row's identity: a child's id is a digest of its parent's id and the
            values of its key columns.
        by_id: The row's id determines the value, independent of the settings of the stage that made the row,
            such as the frame numbers of a clip. Key columns always have this property.
        group: All rows with the same value descend from one row of the source, so a rule or a stage can
            process them together. For example, the name of a recording whose cameras are rows.
        default: Value that a stage reads if no step adds the column. Without a default the column is
            required.
    """
    metadata = {"meaning": meaning, "unit": unit, "key": key, "by_id": key or by_id, "group": group}
    return field(default=default, metadata=metadata)
