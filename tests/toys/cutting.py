"""A toy recipe for `clipmill try`: `from_store` stages cut numbers into segments and name them."""

from collections.abc import Iterator, Sequence

from counting import Spell
from toys import Numbers, Square

from manifests import Artifact, Row, column
from pipeline import Annotate, Dag, Expand, Reject


class Squared(Row):
    n: int
    text: Artifact


class Segment(Row):
    start_s: float = column("start", unit="s", key=True)
    end_s: float = column("end", unit="s", key=True)


class CutNumber(Expand[Squared, Segment]):
    """Makes n % 5 segments of `length` seconds. Reads the artifact; rejects 13."""

    length: float = 2.0
    from_store = True

    def expand(self, row: Squared) -> Iterator[Segment]:
        assert row.text.read() == str(row.n).encode()
        if row.n == 13:
            raise Reject("13 is not cut")
        for i in range(row.n % 5):
            yield Segment(start_s=i * self.length, end_s=(i + 1) * self.length)


class SegmentOfNumber(Row):
    n: int
    end_s: float


class Weighed(Row):
    weight: float | None = column("end times number; missing for 6", unit="1")


class Weigh(Annotate[SegmentOfNumber, Weighed]):
    """Rejects multiples of 9."""

    from_store = True

    def annotate(self, rows: Sequence[SegmentOfNumber]) -> Iterator[Weighed | Reject]:
        for row in rows:
            weight = None if row.n == 6 else row.n * row.end_s
            yield Reject(f"{row.n} is not weighed") if row.n % 9 == 0 else Weighed(weight=weight)


def cutting(
    count: int = 30, min_half: float = 2.0, length: float = 2.0, max_weight: float = 100.0, unnamed: int = 7
) -> Dag:
    """Numbers, cut into segments; segments up to `max_weight` are named."""
    dag = Dag("cutting")
    numbers = dag.read(Numbers(count=count), rows_per_part=4).annotate(Square())
    cut = numbers.keep(f"half >= {min_half}", because="too small").expand(CutNumber(length=length))
    light = cut.annotate(Weigh()).keep(f"weight < {max_weight}", because="too heavy")
    named = light.annotate(Spell(bad=unnamed)).keep("n != 11 and n != 16", because="unloved")
    dag.save(named, "named")
    return dag
