"""The contract of a stage for large rows: several workers process the pieces of one row."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar, get_args

from manifests import Artifact, Row
from pipeline.row_json import round_trip
from pipeline.stage import Annotate, Reject

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)
Piece = TypeVar("Piece", bound=Row)
Result = TypeVar("Result", bound=Row)


class Chunked(Annotate[In, Out], Generic[In, Piece, Result, Out]):
    """Adds columns to rows that may be large; several workers process the pieces of one row.

    `annotate` is the reference implementation: split a row, process each piece in order, join the results.
    With several workers, pieces are scheduled like parts, and each finished piece survives a kill. A part
    whose rows all have one piece is processed like any other part. The columns must not depend on how a row
    is split, so a setting that only controls the split belongs into `execution_settings`. The batch is 1.

    Attributes:
        piece: Row type of a piece.
        result: Row type of the result of a piece.
    """

    piece: ClassVar[type[Row]]
    result: ClassVar[type[Row]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in getattr(cls, "__orig_bases__", ()):
            rows = [a for a in get_args(base) if isinstance(a, type) and issubclass(a, Row)]
            if len(rows) == 4:
                _, cls.piece, cls.result, _ = rows

    @abstractmethod
    def split(self, row: In) -> Sequence[Piece]:
        """Return the pieces of a row, in order: small rows without artifacts. Must be cheap.

        Raises:
            Reject: The row is rejected.
        """

    @abstractmethod
    def work(self, row: In, piece: Piece) -> Result:
        """Return the result of one piece; large values are artifacts. Called in any order, on any worker.

        Raises:
            Reject: The row is rejected with the reason of its first rejected piece.
        """

    @abstractmethod
    def join(self, row: In, results: Sequence[Result]) -> Out:
        """Return the columns of the row from the results of its pieces, in order.

        The artifacts of the results are deleted afterwards, except those that the returned row contains.

        Raises:
            Reject: The row is rejected.
        """

    def annotate(self, rows: Sequence[In]) -> Iterator[Out | Reject]:
        for row in rows:
            try:
                yield self.annotate_pieces(row, self.split(row))
            except Reject as reject:
                yield reject

    def annotate_pieces(self, row: In, pieces: Sequence[Piece]) -> Out:
        """Return the columns of a row, computed piece by piece in this process."""
        results: list[Result] = []
        kept_files: set[Path | None] = set()
        try:
            for piece in pieces:
                results.append(round_trip(self.work(row, round_trip(piece))))
            joined = self.join(row, results)
            kept_files = {a.file for a in _artifacts(joined)}
            return joined
        finally:
            for file in {a.file for result in results for a in _artifacts(result)} - kept_files:
                if file is not None:
                    file.unlink(missing_ok=True)


def _artifacts(row: Row) -> list[Artifact]:
    values = (getattr(row, name) for name in row.names())
    return [value for value in values if isinstance(value, Artifact)]
