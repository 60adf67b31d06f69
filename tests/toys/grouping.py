"""Toy stages of groups: a number is seen through three lenses, and the lenses of a number stay together."""

from collections.abc import Iterator, Sequence

from toys import N, Numbers

from manifests import Row, column
from pipeline import AnnotateGroups, Dag, Expand, Reject

LENSES = 3


class Lens(Row):
    lens: int = column("number of the lens", key=True)
    take: str = column("the number, as text", group=True)
    light: float | None = column("10 times the number plus the lens; missing for lens 1 of 3", unit="1")


class LookThrough(Expand[N, Lens]):
    """Makes one row for each lens."""

    def expand(self, row: N) -> Iterator[Lens]:
        for lens in range(LENSES):
            light = None if (row.n, lens) == (3, 1) else float(10 * row.n + lens)
            yield Lens(lens=lens, take=str(row.n), light=light)


class SeenLight(Row):
    take: str
    light: float | None


class Compared(Row):
    highest_light: float = column("highest light of the lenses of the number", unit="1")


class CompareLenses(AnnotateGroups[SeenLight, Compared]):
    """Rejects numbers that are not seen through all lenses; raises on number `fail_on`."""

    fail_on: int = -1
    group_by = "take"

    def annotate(self, rows: Sequence[SeenLight]) -> Iterator[Compared | Reject]:
        assert len({row.take for row in rows}) == 1
        if rows[0].take == str(self.fail_on):
            raise ValueError("this number fails")
        for _ in rows:
            if len(rows) < LENSES:
                yield Reject(f"only {len(rows)} lenses")
            else:
                yield Compared(highest_light=max(row.light or 0.0 for row in rows))


def grouping(
    max_light: float = 42, when: str = "all", dark_lens: int = -1, fail_on: int = -1, size: int = 3
) -> Dag:
    """Drop numbers across their lenses, then compare the lenses of each number.

    Args:
        max_light: Numbers of which a lens reaches this are dropped.
        when: All lenses must pass, or any.
        dark_lens: A lens whose rows of even light are dropped alone.
        fail_on: The number on which the comparison fails.
        size: Rows of a part.
    """
    dag = Dag("grouping")
    lenses = dag.read(Numbers(count=8), rows_per_part=size).expand(LookThrough())
    lit = lenses.keep(f"light < {max_light}", because="bright", across="take", when=when)
    seen = lit.keep(f"lens != {dark_lens} or light / 20 > 1", because="dark")
    dag.save(seen.annotate(CompareLenses(fail_on=fail_on)), "lenses")
    return dag
