"""A toy recipe for tests of the command line: two parallel steps, a rule, children, a survey, a model."""

from collections.abc import Iterator, Sequence

from toys import Learn, N, Numbers, Split, Square, Sum

from manifests import Row, column
from pipeline import Annotate, Dag, Reject


class Spelt(Row):
    name: str = column("the number in words")


class Spell(Annotate[N, Spelt]):
    """Rejects multiples of `bad`."""

    bad: int = 0

    def annotate(self, rows: Sequence[N]) -> Iterator[Spelt | Reject]:
        for row in rows:
            if self.bad and row.n % self.bad == 0:
                yield Reject(f"{row.n} has no name")
            else:
                yield Spelt(name=f"number {row.n}")


def counting(
    count: int = 20,
    min_half: float = 4.0,
    bad: int = 0,
    unnamed: int = 0,
    fail_on: int = -1,
    wait_s: float = 0.0,
    token: str = "",
) -> Dag:
    """Numbers, squared and spelt.

    Args:
        min_half: Smallest half of a number that is kept.
    """
    dag = Dag("counting")
    numbers = dag.read(Numbers(count=count), rows_per_part=3)
    annotated = numbers.annotate(Square(bad=bad, fail_on=fail_on, wait_s=wait_s), Spell(bad=unnamed))
    large = annotated.keep(f"half >= {min_half}", because="too small")
    pieces = large.expand(Split()).survey(Sum())
    dag.save(pieces, "pieces")
    dag.save(pieces.launch(Learn()), "model")
    return dag
