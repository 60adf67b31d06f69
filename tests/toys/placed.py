"""A toy stage whose workers write where they run."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from toys import N

from manifests import Row, column
from pipeline import Annotate


class Place(Row):
    pid: int = column("the process that made the row")


class Placed(Annotate[N, Place]):
    """Each worker writes its node and its GPUs to `folder`; a call waits until `workers` of them are open."""

    folder: str
    workers: int = 1
    wait_s: float = 0.0
    execution_settings = frozenset({"folder", "workers", "wait_s"})

    def open(self) -> None:
        import ray

        context = ray.get_runtime_context()
        found = {
            "node": context.get_node_id(),
            "gpus": context.get_accelerator_ids()["GPU"],
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        new = Path(self.folder) / f"{os.getpid()}.new"
        new.write_text(json.dumps(found))
        new.rename(new.with_suffix(".json"))

    def annotate(self, rows: Sequence[N]) -> Iterator[Place]:
        ends_s = time.monotonic() + 100
        while len(list(Path(self.folder).glob("*.json"))) < self.workers and time.monotonic() < ends_s:
            time.sleep(0.05)
        time.sleep(self.wait_s)
        yield from (Place(pid=os.getpid()) for _ in rows)
