"""The contract of a stage: settings in, columns read, columns added. Nothing about where it runs.

Source    () -> the first rows
Annotate  row -> its new columns
Chunked    the same for rows that may be large: row -> pieces -> what each gives -> its new columns
Expand    row -> any number of new rows
Survey    all rows, never in one memory -> new columns of each
Compare   the same for rows that are compared with each other: on tables, and a row is in several groups
Launch    all rows -> one row, by a program of many ranks (training)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args

from manifests import Row
from pipeline.needs import Needs

if TYPE_CHECKING:
    import pyarrow as pa

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)


class Reject(Exception):
    """The row is at fault: set it aside with this reason and go on. Never retried."""


class Unavailable(Exception):
    """What the stage asks cannot be asked now (an endpoint is down): no row's fault, so the row is put back.

    The step pauses while the run goes on elsewhere; finished rows of the part are kept. A run that has
    nothing else left to do ends unfinished, and the next one goes on from there.

    Args:
        reason: what a user understands; it is told while the run goes on, and written into its log.
        retry_s: after so long the step is tried again, with one task at first.
        patience_s: for so long after the first failure a run with nothing else to do waits.
    """

    def __init__(self, reason: str, *, retry_s: float = 30.0, patience_s: float = 600.0) -> None:
        super().__init__(reason)
        self.retry_s, self.patience_s = retry_s, patience_s


@dataclass(frozen=True)
class Placed:
    """A stage, where to run it, and the name of its step where the class name will not do."""

    stage: "Stage[Any, Any]"
    needs: Needs
    name: str = ""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Stage(ABC, Generic[In, Out]):
    """A stage is its settings: a frozen dataclass of plain values (str, int, float, bool, tuples).

    Heavy things (models, clients) are `cached_property`s: built on the worker, once, and left
    behind when the stage is sent to another.
    """

    reads: ClassVar[type[Row]]
    adds: ClassVar[type[Row]]
    needs: ClassVar[Needs] = Needs()
    version: ClassVar[int] = 1  # raise it when the same settings give other results
    from_store: ClassVar[bool] = False  # works quickly, from stored columns and artifacts; adds no files
    place: ClassVar[frozenset[str]] = frozenset()  # settings that say where, not what: not hashed
    hidden: ClassVar[frozenset[str]] = frozenset()  # settings that no record shows, but as "env:NAME"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        for base in getattr(cls, "__orig_bases__", ()):
            rows = [a for a in get_args(base) if isinstance(a, type) and issubclass(a, Row)]
            if rows:
                cls.reads, cls.adds = rows[0], rows[-1]

    def open(self) -> None:
        """Build every heavy thing now, so that a bad weight file fails before the first row."""
        for name in dir(type(self)):
            if isinstance(getattr(type(self), name), cached_property):
                getattr(self, name)

    def digest(self) -> str:
        """What decides the result beside the settings: the digest of weights, or of a listing.

        RunRequest once, by the driver, while planning; empty for most stages.
        """
        return ""

    def settings(self) -> dict[str, Any]:
        """The plain values that the stage was made with."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def on(self, *, name: str = "", **needs: Any) -> "Placed":
        """This stage with other needs: `MeasureMotion().on(gpus=0.5, batch=32)`.

        `name` is the step's name in the DAG; by default the class name in snake case.
        """
        return Placed(self, replace(self.needs, **needs), name)

    def __getstate__(self) -> dict[str, Any]:
        return self.settings()


class Source(Stage[Out, Out]):
    """Makes the first rows. Its row declares `id`, unique and made from the content."""

    @abstractmethod
    def rows(self) -> Iterator[Out]:
        """The rows, in an order that is the same each time."""


class Annotate(Stage[In, Out]):
    """Adds columns to each row."""

    @abstractmethod
    def annotate(self, rows: Sequence[In]) -> Iterable[Out | Exception]:
        """One answer per row, in order; a `Reject` in a row's place sets that row aside.

        In a row's place, `Unavailable` puts it back, and any other exception sets it aside as an error.
        A raised `Reject` sets aside the row being worked on when the batch is 1; `Unavailable` puts back
        the batch; any other error is retried row by row (`Needs.retries`) and then sets the row aside as
        an error.
        """


class Expand(Stage[In, Out]):
    """Makes any number of new rows from each row.

    A child's id is made of the parent's id and the child's key columns, or of its position where
    it declares none. Children see the columns of their parents.
    """

    @abstractmethod
    def expand(self, row: In) -> Iterator[Out]: ...

    def expand_many(self, rows: "pa.Table") -> "pa.Table | None":
        """The new rows of many rows at once, where a stage that is `from_store` can tell them quicker.

        Args:
            rows: the columns that are read.

        Returns:
            `row`, the index in `rows` of the row that one comes from, ascending, and the columns that are
            added. What stands there is what `expand` would have given; a row of which none stands there is
            asked by `expand`. None: all are.
        """
        return None


class Survey(Stage[In, Out]):
    """Sees all rows, but never all in one memory. A barrier: it starts when its input is whole.

    tally, per part -> totals; fit, once, on a sample -> fitted; assign, per part -> a group for
    each row; settle, once per group -> the new columns of the group's rows.
    """

    sample: ClassVar[int] = 0  # rows that `fit` wants to see: those whose ids hash lowest
    answers_all: ClassVar[bool] = False  # `settle` rejects none: what passes is known before it has run

    def tally(self, rows: Sequence[In]) -> Mapping[str, int]:
        """Whole numbers about a part, which the engine adds up over all parts."""
        return {"rows": len(rows)}

    def fit(self, sample: Sequence[In], totals: Mapping[str, int]) -> bytes:
        """What `assign` and `settle` need to know: JSON or `numpy.save` bytes, never a pickle."""
        return b""

    @abstractmethod
    def assign(self, rows: Sequence[In], fitted: bytes) -> Iterable[str]:
        """The name of each row's group, in order: letters, digits and `-_.` only."""

    @abstractmethod
    def settle(self, group: str, rows: Sequence[In], fitted: bytes) -> Iterable[Out | Reject]:
        """One answer per row, in order. The rows of a group come sorted by id."""


class Compare(Stage[In, Out]):
    """Sees rows beside each other. A barrier like `Survey`; but on tables, and rows may share many groups.

    fit, once, on a sample -> fitted; assign, per part -> members of groups; settle, once per group ->
    findings about its members; conclude, per part -> the new columns. Every row gets an answer. Tables
    are Arrow's, and those of rows hold `id` and the columns that are read.
    """

    sample: ClassVar[int] = 0  # rows that `fit` wants to see: those whose ids hash lowest
    quick_rows: ClassVar[int] = (
        0  # of which it is done in seconds, so that `try` does it; `from_store`: of any
    )

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        """What the other phases need to know, of `rows` rows: JSON or `numpy.save` bytes, never a pickle."""
        return b""

    def outside(self) -> int:
        """How many tables there are of rows from elsewhere, with which these are compared; 0 by default."""
        return 0

    def beside(self, number: int) -> "pa.Table":
        """One of these tables, with the columns that are read. It is assigned; nothing is concluded of it."""
        raise NotImplementedError

    @abstractmethod
    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        """The members that a part's rows make: `group` (letters, digits, `-_.`), `id`, what `settle` wants.

        A row may be a member of several groups, or of none.
        """

    @abstractmethod
    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        """Any number of findings: `id`, of the member that one is about, and what `conclude` wants.

        The members come sorted by id, all of them, and without `group`. Findings about one from elsewhere
        are lost.
        """

    @abstractmethod
    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        """The new columns of a part's rows, in order.

        The findings are those about these rows, group by group; None where no group found any.
        """


class Launch(Stage[In, Out]):
    """A program of many ranks. A barrier, whose one row is the root of a new table."""

    @abstractmethod
    def run(self, rows: Iterator[In], work: Path) -> Out:
        """Called once on each rank, with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT set.

        `work` is a folder that all ranks share and that outlives a killed run: go on from what is
        there. The answer of rank 0 counts. Its id is made of the node's key.
        """
