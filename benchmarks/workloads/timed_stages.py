"""Stages that take no time, or a fixed time per row, to measure the cost of the engine."""

import time
from collections.abc import Iterator, Sequence

from manifests import Row, column
from manifests.identity import id_of
from pipeline import Annotate, Source


class Tick(Row):
    id: str = column("derived from the number")
    n: int = column("the number")


class Ticks(Source[Tick]):
    """0 … count-1."""

    count: int = 1

    def rows(self) -> Iterator[Tick]:
        for n in range(self.count):
            yield Tick(id=id_of(n), n=n)


class N(Row):
    id: str


class First(Row):
    first: int = column("a number")


class Second(Row):
    second: int = column("a number")


class Third(Row):
    third: int = column("a number")


class _Work(Annotate[N, First]):
    """Waits `wait_s` seconds per row, then computes for `loops` loops."""

    wait_s: float = 0.0
    loops: int = 0

    def annotate(self, rows: Sequence[N]) -> Iterator[Row]:
        for _ in rows:
            time.sleep(self.wait_s)
            for _ in range(self.loops):
                pass
            yield self.adds(**dict.fromkeys(self.adds.names(), 1))


class WorkFirst(_Work, Annotate[N, First]):
    """The first stage of a chain."""


class WorkSecond(_Work, Annotate[N, Second]):
    """The second stage of a chain."""


class WorkThird(_Work, Annotate[N, Third]):
    """The third stage of a chain."""
