"""A recipe of toys with a survey before its last rule, which answers every row, and one after it."""

from collections.abc import Iterable, Iterator, Sequence

from toys import N, Numbers

from manifests import Row, column
from pipeline import Dag, Reject, Survey


class Side(Row):
    side: str = column("of the number")


class Sided(Survey[N, Side]):
    """Odd or even. With `refuses` it breaks its promise."""

    refuses: bool = False
    answers_all = True

    def assign(self, rows: Sequence[N], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(self, group: str, rows: Sequence[N], fitted: bytes) -> Iterator[Side | Reject]:
        for row in rows:
            yield (
                Reject(f"{row.n} is large") if self.refuses and row.n > 8 else Side(side="oe"[row.n % 2 == 0])
            )


class Ranked(Row):
    rank: int = column("among those that are left, from 0")


class Rank(Survey[N, Ranked]):
    """Refuses multiples of 5."""

    def assign(self, rows: Sequence[N], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(self, group: str, rows: Sequence[N], fitted: bytes) -> Iterator[Ranked | Reject]:
        for rank, row in enumerate(sorted(rows, key=lambda row: row.n)):
            yield Ranked(rank=rank) if row.n % 5 else Reject(f"{row.n} is a multiple of 5")


def siding(count: int = 12, first: int = 0, least: int = 3, refuses: bool = False) -> Dag:
    """Numbers from `first` on get a side, those from `least` on a rank."""
    dag = Dag("siding")
    some = dag.read(Numbers(count=count), rows_per_part=5).keep(f"n >= {first}", because="too small")
    sided = some.survey(Sided(refuses=refuses)).keep(f"n >= {least}", because="too light")
    dag.save(sided.survey(Rank()), "ranked")
    return dag
