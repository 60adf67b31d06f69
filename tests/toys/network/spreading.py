"""A toy recipe for tests on several nodes: numbers that say where they are, places of workers, and videos."""

import os
import time
from collections.abc import Iterator, Sequence

import ray
from toys import N, Nothing, Numbers, Placed

from manifests import Row, column
from pipeline import Annotate, Dag
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo


class Doubled(Row):
    double: int = column("two times the number")


class Double(Annotate[N, Doubled]):
    """Writes the number and the node to a file in `log_to`, then waits for the file `hold_until`."""

    log_to: str = ""
    hold_from: int = 0  # smaller numbers do not wait
    hold_until: str = ""
    execution_settings = frozenset({"log_to", "hold_from", "hold_until"})

    def annotate(self, rows: Sequence[N]) -> Iterator[Doubled]:
        for row in rows:
            if self.log_to:
                with open(f"{self.log_to}/{os.getpid()}", "a") as file:
                    file.write(f"{row.n} {ray.get_runtime_context().get_node_id()}\n")
            while self.hold_until and row.n >= self.hold_from and not os.path.exists(self.hold_until):
                time.sleep(0.05)
            yield Doubled(double=2 * row.n)


class OpensLate(Annotate[N, Nothing]):
    """On nodes with the variable SLOW_NODE, a worker opens only once the file `until` exists."""

    until: str
    execution_settings = frozenset({"until"})

    def open(self) -> None:
        while "SLOW_NODE" in os.environ and not os.path.exists(self.until):
            time.sleep(0.05)

    def annotate(self, rows: Sequence[N]) -> Iterator[Nothing]:
        yield from (Nothing(nothing=0) for _ in rows)


def spreading(
    count: int = 12,
    log_to: str = "",
    hold_until: str = "",
    hold_from: int = 0,
    placed_in: str = "",
    workers: int = 1,
    gpus: float = 0.0,
    late_until: str = "",
    videos: str = "",
) -> Dag:
    """Numbers in parts of two.

    Args:
        log_to: Folder of logs, to which each doubled number adds a line.
        hold_until: File for which the numbers from `hold_from` on wait.
        placed_in: Folder for the places of the workers of a step, which wait until `workers` are open.
        gpus: GPUs of each of these workers.
        late_until: File for which workers on slow nodes wait before they open.
        videos: Videos to probe.
    """
    dag = Dag("spreading")
    numbers = dag.read(Numbers(count=count), rows_per_part=2)
    doubled = numbers.annotate(Double(log_to=log_to, hold_from=hold_from, hold_until=hold_until))
    dag.save(doubled, "doubled")
    if placed_in:
        dag.save(numbers.annotate(Placed(folder=placed_in, workers=workers).on(gpus=gpus)), "places")
    if late_until:
        dag.save(numbers.annotate(OpensLate(until=late_until)), "late")
    if videos:
        dag.save(dag.read(ListVideos(root=videos, allow_private_urls=True)).annotate(ProbeVideo()), "videos")
    return dag
