"""A toy recipe with a survey that rejects no row before its last rule, and another survey after it."""

from collections.abc import Iterable, Iterator, Sequence

from toys import N, Numbers

from manifests import Row, column
from pipeline import Dag, Reject, Survey


class Side(Row):
    side: str = column("o: odd, e: even")


class Sided(Survey[N, Side]):
    """Odd or even. `rejects` violates `never_rejects`."""

    rejects: bool = False
    never_rejects = True

    def assign(self, rows: Sequence[N], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(self, group: str, rows: Sequence[N], fitted: bytes) -> Iterator[Side | Reject]:
        for row in rows:
            yield (
                Reject(f"{row.n} is large") if self.rejects and row.n > 8 else Side(side="oe"[row.n % 2 == 0])
            )


class Ranked(Row):
    rank: int = column("rank among the kept numbers, from 0")


class Rank(Survey[N, Ranked]):
    """Rejects multiples of 5."""

    def assign(self, rows: Sequence[N], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(self, group: str, rows: Sequence[N], fitted: bytes) -> Iterator[Ranked | Reject]:
        for rank, row in enumerate(sorted(rows, key=lambda row: row.n)):
            yield Ranked(rank=rank) if row.n % 5 else Reject(f"{row.n} is a multiple of 5")


def siding(count: int = 12, first: int = 0, min_ranked: int = 3, rejects: bool = False) -> Dag:
    """Numbers from `first` get a side, numbers from `min_ranked` a rank."""
    dag = Dag("siding")
    some = dag.read(Numbers(count=count), rows_per_part=5).keep(f"n >= {first}", because="too small")
    sided = some.survey(Sided(rejects=rejects)).keep(f"n >= {min_ranked}", because="too light")
    dag.save(sided.survey(Rank()), "ranked")
    return dag
