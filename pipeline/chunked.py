"""The contract of a stage whose rows may be large: several workers share the pieces of one row."""

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
    """Adds columns to rows of which some may be large: several workers share the pieces of one row.

    `annotate` is the reference: split, work on each piece in order, join. Where there are several
    workers, they take the pieces of a part as they take parts, and each finished piece outlives a
    kill; a part whose rows are all of one piece is worked on as any other. How a row is split must not
    show in its columns: a setting that only says how goes into `place`. The batch is 1.
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
        """The pieces of a row, in order: small rows without artifacts. Cheap: a look at a file's head.

        Raises:
            Reject: the row is set aside.
        """

    @abstractmethod
    def work(self, row: In, piece: Piece) -> Result:
        """What one piece gives; large things are artifacts. RunRequest in any order, of any worker.

        Raises:
            Reject: the row is set aside, with the reason of the first piece that has one.
        """

    @abstractmethod
    def join(self, row: In, results: Sequence[Result]) -> Out:
        """The columns of the row, from what its pieces gave, in order. Their artifacts are gone afterwards.

        An artifact of a piece may be handed on as it is.

        Raises:
            Reject: the row is set aside.
        """

    def annotate(self, rows: Sequence[In]) -> Iterator[Out | Reject]:
        for row in rows:
            try:
                yield self.whole(row, self.split(row))
            except Reject as reject:
                yield reject

    def whole(self, row: In, pieces: Sequence[Piece]) -> Out:
        """The columns of a row, worked out piece by piece in this process."""
        results: list[Result] = []
        given: set[Path | None] = set()
        try:
            for piece in pieces:
                results.append(round_trip(self.work(row, round_trip(piece))))
            joined = self.join(row, results)
            given = {a.file for a in _artifacts(joined)}
            return joined
        finally:
            for file in {a.file for result in results for a in _artifacts(result)} - given:
                if file is not None:
                    file.unlink(missing_ok=True)


def _artifacts(row: Row) -> list[Artifact]:
    values = (getattr(row, name) for name in row.names())
    return [value for value in values if isinstance(value, Artifact)]
