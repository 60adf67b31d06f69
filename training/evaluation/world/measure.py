"""The contract of a measure: what it needs, the columns of its table, and the values of one film."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from training.evaluation.world.conditions import Conditions
from training.evaluation.world.films import Footage
from training.metrics.world.flow import Labels

Array = npt.NDArray[np.float64]
# Rows of a table. All but the first and the films of --shuffled and --compare are controls.
MODEL, TRUTH, FROZEN = "model", "ground truth", "first frame repeated"
LAST, VELOCITY, OTHER = "last given frame repeated", "constant velocity", "another clip"
WRONG, TRUTH_WRONG, SHUFFLED = "wrong condition", "ground truth, wrong condition", "shuffled condition"
CONDITION_ROWS = (WRONG, TRUTH_WRONG)  # films measured against the cameras of another clip
STILL_ROWS = (FROZEN, LAST)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its name in JSON, with the unit.
        title: Its name in the table.
        form: Format of a number.
        better: Which values are better; "" if neither.
        meaning: A line that explains it.
    """

    key: str
    title: str
    form: str
    better: Literal["lower", "higher", ""]
    meaning: str


@dataclass(frozen=True)
class Measured:
    """The values of one film.

    Attributes:
        values: By key of the column; NaN: not measured.
        curves: By key of a column: its values by frame, [t], from frame 0; NaN where a frame has none.
        why_not: Why values are NaN, or "".
    """

    values: Mapping[str, float]
    curves: Mapping[str, Array] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True)
class Clip:
    """A reference film, cut to the frames that are compared.

    Attributes:
        name: Its name.
        footage: Its frames.
        rate: Frames per second.
        conditions: Cameras and states.
        masks: Of its objects, [t h w].
        given_frames: Frames at the start that the model was given; errors do not count them.
    """

    name: str
    footage: Footage
    rate: float
    conditions: Conditions
    masks: Labels | None
    given_frames: int


@dataclass(frozen=True)
class Candidate:
    """A film that is measured as a row of the table.

    Attributes:
        row: The row.
        footage: Its frames, as many as the clip has.
        conditions: Those that it is measured against: of the clip, or in `CONDITION_ROWS` of another one.
    """

    row: str
    footage: Footage
    conditions: Conditions


class Measure(Protocol):
    """One table.

    Attributes:
        name: Its name in --metrics.
        reads_condition: Whether it reads the cameras; then it has rows with a wrong condition, and no row of
            another clip, which would be the same.
        main: Key of the column whose differences from the model are printed.
    """

    name: ClassVar[str]
    reads_condition: ClassVar[bool]

    @property
    def columns(self) -> Sequence[Column]: ...

    @property
    def main(self) -> str: ...

    def missing(self, clip: Clip) -> str:
        """What the clip lacks for this measure, or ""."""
        ...

    def measure(self, candidate: Candidate, clip: Clip) -> Measured: ...

    def notes(self) -> Mapping[str, Any]:
        """What was used, as JSON values."""
        ...
