"""A toy stage that calls a service: the service is available if a file exists."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from toys import N, Numbers, Square

from manifests import Row, column
from pipeline import Annotate, Dag, Needs, Unavailable


class Answered(Row):
    answer: str = column("the answer of the service")


class Ring(Annotate[N, Answered]):
    """Needs the file `up` for odd numbers; otherwise yields `Unavailable`, or raises it with `raises`."""

    up: str
    raises: bool = False
    retry_s: float = 0.05
    patience_s: float = 60.0
    count_in: str = ""  # a file to which each answered row adds a line
    execution_settings = frozenset({"up", "raises", "retry_s", "patience_s", "count_in"})
    needs = Needs(batch=2)

    def annotate(self, rows: Sequence[N]) -> Iterator[Answered | Unavailable]:
        for row in rows:
            if row.n % 2 and not Path(self.up).exists():
                unavailable = Unavailable("nobody\nanswers", retry_s=self.retry_s, patience_s=self.patience_s)
                if self.raises:
                    raise unavailable
                yield unavailable
                continue
            if self.count_in:
                with open(self.count_in, "a") as file:
                    file.write(f"{row.n}\n")
            time.sleep(0.001)
            yield Answered(answer=f"answer for {row.n}")


def ringing(**ring: object) -> Dag:
    """Numbers with an answer of the service and, in parallel, their squares, which need no service."""
    dag = Dag("ringing")
    numbers = dag.read(Numbers(count=20), rows_per_part=3)
    both = numbers.annotate(Ring(**ring), Square()).keep("half >= 1", because="too small")
    dag.save(both, "both")
    return dag
