"""Stage contracts: a stage has settings, reads columns and adds columns, and does not know where it runs.

Source    () -> the first rows
Annotate  row -> its new columns
Chunked   as Annotate, for large rows: row -> pieces -> result of each piece -> new columns of the row
Expand    row -> any number of new rows
Survey    all rows, never all in one memory -> new columns of each row
Compare   as Survey, for comparisons between rows: works on tables; a row can be in several groups
Launch    all rows -> one row, by a program with many ranks (training)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args

from manifests import Row
from pipeline.added_columns import AddedColumns
from pipeline.errors import Reject as Reject
from pipeline.errors import Unavailable as Unavailable
from pipeline.needs import Needs

if TYPE_CHECKING:
    import pyarrow as pa

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)


@dataclass(frozen=True)
class ConfiguredStage:
    """A stage with its resources, and the name of its step if it differs from the class name."""

    stage: "Stage[Any, Any]"
    needs: Needs
    name: str = ""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Stage(ABC, Generic[In, Out]):
    """Base of all stages: a frozen dataclass whose fields are the settings (str, int, float, bool, tuples).

    Models, clients and other expensive objects are `cached_property`s. A worker builds them once, and they
    are not sent to other workers with the stage.

    Attributes:
        reads: Row type of the columns that the stage reads.
        adds: Row type of the columns that the stage adds. See also `added_columns`.
        needs: Default resources of one worker.
        version: Raise it when the same settings give other results.
        from_store: Whether the stage is fast, reads only stored columns and artifacts, and adds no files.
        decodes: Column with the seconds of video that the stage decodes for a row; `clipmill plan` reads it.
        execution_settings: Names of settings that change no result, such as devices: no part of the key.
        secret_settings: Names of settings that run records redact; a value such as "env:NAME" is shown.
    """

    reads: ClassVar[type[Row]]
    adds: ClassVar[type[Any]]
    needs: ClassVar[Needs] = Needs()
    version: ClassVar[int] = 1
    from_store: ClassVar[bool] = False
    decodes: ClassVar[str] = ""
    execution_settings: ClassVar[frozenset[str]] = frozenset()
    secret_settings: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        for base in getattr(cls, "__orig_bases__", ()):
            rows = [a for a in get_args(base) if isinstance(a, type) and issubclass(a, Row)]
            if rows:
                cls.reads, cls.adds = rows[0], AddedColumns(rows[-1])  # type: ignore[assignment]

    def added_columns(self) -> type[Row]:
        """Return the row type of the added columns. Default: the declared one; or see `manifests.make_row`.

        Only settings may decide it, because each worker computes it again.
        """
        declared: type[Row] = type(self).adds
        return declared

    def open(self) -> None:
        """Build every `cached_property` now, so that a bad weight file fails before the first row."""
        for name in dir(type(self)):
            if isinstance(getattr(type(self), name), cached_property):
                getattr(self, name)

    def digest(self) -> str:
        """Return a digest of inputs other than the settings that change the result: weights, or a listing.

        Called once, by the driver, during planning. Empty for most stages.
        """
        return ""

    def seconds(self) -> Mapping[str, float]:
        """Return for how long parts of the stage worked and waited so far, for example "x" and "x_waited"."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return the values of the settings by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def on(self, *, name: str = "", **needs: Any) -> "ConfiguredStage":
        """Return this stage with other resources, for example `MeasureMotion().on(gpus=0.5, batch=32)`.

        Args:
            name: Name of the step in the DAG. Default: the class name in snake case.
            **needs: Fields of `Needs` to replace.
        """
        return ConfiguredStage(self, replace(self.needs, **needs), name)

    def __getstate__(self) -> dict[str, Any]:
        return self.settings()


class Source(Stage[Out, Out]):
    """Produces the first rows. Its row type declares `id`, which is unique and derived from the content."""

    @abstractmethod
    def rows(self) -> Iterator[Out]:
        """Yield the rows in a deterministic order."""

    def column_digests(self) -> Mapping[str, str]:
        """Return a digest of all values of each column that the id does not determine; after `digest`."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Return what the user must know about inputs that become no rows, such as files that are left out.

        Called once, by the driver, after `digest`. `clipmill plan` and `run` print it, and a run records it.
        """
        return ()


class Annotate(Stage[In, Out]):
    """Adds columns to each row."""

    @abstractmethod
    def annotate(self, rows: Sequence[In]) -> Iterable[Out | Exception]:
        """Yield one result per row, in order.

        A result is the new columns, or an exception in the place of the row: `Reject` rejects the row,
        `Unavailable` requeues it, and any other exception rejects it as an error.

        A raised `Reject` rejects the current row if the batch is 1. A raised `Unavailable` requeues the
        batch. After any other raised exception the engine retries row by row (`Needs.retries`), then rejects
        the row as an error.
        """


class Expand(Stage[In, Out]):
    """Produces any number of new rows from each row.

    The id of a child is derived from the id of its parent and the child's key columns, or from its position
    if it declares no key columns. Children can read the columns of their parents.
    """

    from_listing: ClassVar[bool] = False  # whether columns are listed paths, which ids do not determine

    @abstractmethod
    def expand(self, row: In) -> Iterator[Out]:
        """Yield the new rows of one row."""

    def expand_many(self, rows: "pa.Table") -> "pa.Table | None":
        """Return the new rows of many rows as one table, for a `from_store` stage that can compute it faster.

        Args:
            rows: Table with the columns that the stage reads.

        Returns:
            A table with `row`, the ascending index in `rows` of the parent, and the added columns. The values
            must equal those of `expand`. The engine calls `expand` for each row that is missing in the table.
            None: the engine calls `expand` for all rows.
        """
        return None


class Survey(Stage[In, Out]):
    """Adds columns that depend on all rows, without holding all rows in one memory.

    A barrier: it starts when its input is complete. Phases: `tally`, per part, returns totals; `fit`, once,
    returns parameters fitted to a sample; `assign`, per part, returns a group for each row; `settle`, once
    per group, returns the new columns of the rows of the group.

    Attributes:
        sample: Number of rows that `fit` receives: those whose ids have the lowest hashes.
        never_rejects: Whether `settle` rejects no row, so that `clipmill try` knows which rows pass before it
            runs.
    """

    sample: ClassVar[int] = 0
    never_rejects: ClassVar[bool] = False

    def tally(self, rows: Sequence[In]) -> Mapping[str, int]:
        """Return integer counts of a part. The engine sums them over all parts."""
        return {"rows": len(rows)}

    def fit(self, sample: Sequence[In], totals: Mapping[str, int]) -> bytes:
        """Return what `assign` and `settle` need, as JSON or `numpy.save` bytes, never a pickle."""
        return b""

    @abstractmethod
    def assign(self, rows: Sequence[In], fitted: bytes) -> Iterable[str]:
        """Yield the name of each row's group, in order. Names use letters, digits and `-_.` only."""

    @abstractmethod
    def settle(self, group: str, rows: Sequence[In], fitted: bytes) -> Iterable[Out | Reject]:
        """Yield one result per row, in order. The rows of a group are sorted by id."""

    def group_inputs(self, group: str, fitted: bytes) -> bytes | None:
        """Return what `settle` uses of `fitted`: equal groups of earlier runs are reused. None: never."""
        return None


class Compare(Stage[In, Out]):
    """Adds columns that depend on comparisons between rows.

    A barrier like `Survey`, but it works on Arrow tables, and a row can be in several groups. Phases: `fit`,
    once, returns parameters fitted to a sample; `assign`, per part, returns members of groups; `settle`, once
    per group, returns findings about its members; `conclude`, per part, returns the new columns. Every row
    gets new columns. Tables of rows hold `id` and the columns that the stage reads.

    Attributes:
        sample: Number of rows that `fit` receives: those whose ids have the lowest hashes.
        max_preview_rows: Up to this number of rows, `clipmill try` runs the comparison in memory, because it
            takes seconds. A `from_store` comparison has no such limit.
    """

    sample: ClassVar[int] = 0
    max_preview_rows: ClassVar[int] = 0

    def fit(self, sample: "pa.Table", rows: int) -> bytes:
        """Return what the other phases need, as JSON or `numpy.save` bytes, never a pickle.

        Args:
            sample: Table of sampled rows.
            rows: Number of all rows.
        """
        return b""

    def num_external_tables(self) -> int:
        """Return the number of tables of rows from other stores to compare these rows with. Default: 0."""
        return 0

    def external_table(self, number: int) -> "pa.Table":
        """Return one external table with the columns that the stage reads.

        The engine calls `assign` for its rows, but not `conclude`.
        """
        raise NotImplementedError

    @abstractmethod
    def assign(self, rows: "pa.Table", fitted: bytes) -> "pa.Table":
        """Return the group members of a part: `group` (letters, digits, `-_.`), `id`, columns for `settle`.

        A row can be a member of several groups, or of none.
        """

    @abstractmethod
    def settle(self, group: str, members: "pa.Table", fitted: bytes) -> "pa.Table":
        """Return any number of findings: `id` of the member, and columns for `conclude`.

        Args:
            group: Name of the group.
            members: All members of the group, sorted by id, without the column `group`.
            fitted: Result of `fit`.

        Findings about rows of external tables are ignored.
        """

    @abstractmethod
    def conclude(self, rows: "pa.Table", findings: "pa.Table | None", fitted: bytes) -> "pa.Table":
        """Return the new columns of a part's rows, in order.

        Args:
            rows: Rows of the part.
            findings: Findings about these rows, group by group. None if there are none.
            fitted: Result of `fit`.
        """


class Launch(Stage[In, Out]):
    """A program with many ranks. A barrier that produces one row, which starts a new table."""

    @abstractmethod
    def run(self, rows: Iterator[In], work: Path) -> Out:
        """Run on each rank, with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT set.

        Args:
            rows: The input rows.
            work: Folder shared by all ranks. It survives a killed run: the next run can resume from it.

        Returns the row; that of rank 0 is used. The engine derives its id from the key of the node.
        """

    def progress(self, work: Path) -> tuple[float, str]:
        """Return the share that is done, 0 to 1, and a few words, from the files of a running program."""
        return 0.0, ""
