"""A toy recipe with a stage that hangs in native code, as a decoder may."""

import ctypes
from collections.abc import Iterator, Sequence

from toys import N, Nothing, Numbers

from pipeline import Annotate, Dag
from pipeline.engine.task import Task
from pipeline.engine.worker import Worker
from pipeline.planning.plan import Plan


class Hang(Annotate[N, Nothing]):
    """Hangs on the number 1. `PyDLL` keeps Python's lock meanwhile, so that no other thread runs."""

    def annotate(self, rows: Sequence[N]) -> Iterator[Nothing]:
        for row in rows:
            if row.n == 1:
                ctypes.PyDLL(None).sleep(600)
            yield Nothing(nothing=row.n)


def hanging(count: int = 3) -> Dag:
    dag = Dag("hanging")
    dag.save(dag.read(Numbers(count=count)).annotate(Hang().on(batch=2)), "numbers")
    return dag


def work(plan: Plan) -> None:
    """Run the first part, as a worker does."""
    Worker(plan).run(Task("hang", "part"))
