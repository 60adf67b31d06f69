"""A stage that asks something outside, which may be away: a file is there, or it is not."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from toys import N, Numbers, Square

from manifests import Row, column
from pipeline import Annotate, Dag, Needs, Unavailable


class Answered(Row):
    answer: str = column("what was said")


class Ring(Annotate[N, Answered]):
    """Asks about odd numbers only while the file `up` is there; raises or gives it as `raises` says."""

    up: str
    raises: bool = False
    retry_s: float = 0.05
    patience_s: float = 60.0
    count_in: str = ""  # a file to which each row that was answered adds a line
    place = frozenset({"up", "raises", "retry_s", "patience_s", "count_in"})
    needs = Needs(batch=2)

    def annotate(self, rows: Sequence[N]) -> Iterator[Answered | Unavailable]:
        for row in rows:
            if row.n % 2 and not Path(self.up).exists():
                away = Unavailable("nobody\nanswers", retry_s=self.retry_s, patience_s=self.patience_s)
                if self.raises:
                    raise away
                yield away
                continue
            if self.count_in:
                with open(self.count_in, "a") as file:
                    file.write(f"{row.n}\n")
            time.sleep(0.001)
            yield Answered(answer=f"said of {row.n}")


def ringing(**ring: object) -> Dag:
    """Numbers, asked about; beside that squares, which need nobody; and both together."""
    dag = Dag("ringing")
    numbers = dag.read(Numbers(count=20), rows_per_part=3)
    both = numbers.annotate(Ring(**ring), Square()).keep("half >= 1", because="too small")
    dag.save(both, "both")
    return dag
