"""Counts the requests that runs and verbs send to S3, by method, for a DAG of four steps without pixels.

    python -m benchmarks.s3_requests [--parts 4 12] [--json OUT]

A source, two stages that run part by part, and a rule, in this process, in a bucket of a local S3 server
(moto). The difference between the two numbers of parts is what one part costs in all steps together; the rest
is sent once. HEAD and GET cost the same on S3; PUT and LIST cost twelve times as much.
"""

import argparse
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.workloads.local_s3 import CREDENTIALS, local_s3
from benchmarks.workloads.printing import table, write_json
from benchmarks.workloads.timed_stages import Ticks, WorkFirst, WorkSecond
from manifests.stores import open_store
from pipeline import Dag
from pipeline.executors.inline import Inline
from pipeline.history.status import status_of
from pipeline.planning.plan import build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

METHODS = ("PUT", "GET", "HEAD", "LIST", "DELETE")
_STEPS = 4


class _Quiet:
    def observe(self, schedule: object) -> None:
        """Display nothing."""


class Requests(logging.Handler):
    """Counts the lines of the log of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if "HTTP/1.1" in line:
            method = next(name for name in (*METHODS, "POST") if f"{name} /" in line)
            self.counts["LIST" if "list-type=2" in line else method] += 1

    def of(self, call: Callable[[], object]) -> Counter[str]:
        """The requests that a call sends."""
        before = self.counts.copy()
        call()
        return Counter({name: self.counts[name] - before[name] for name in METHODS})


def chain(parts: int) -> Dag:
    dag = Dag("chain")
    rows = dag.read(Ticks(count=parts), rows_per_part=1).annotate(WorkFirst()).annotate(WorkSecond())
    dag.save(rows.keep("n >= 0", because="negative"), "rows")
    return dag


def measure(requests: Requests, parts: int) -> dict[str, Counter[str]]:
    """The requests of a run, of a second run without work, and of `plan` and `status`."""
    import s3fs

    bucket = f"parts-{parts}"
    s3fs.S3FileSystem().mkdir(bucket)
    url, dag = f"s3://{bucket}/store", chain(parts)

    def run() -> None:
        request = RunRequest("chain.py", {}, url)
        run_dag(dag, url, executor=Inline(), observer=_Quiet(), request=request)

    return {
        "first run": requests.of(run),
        "run again": requests.of(run),
        "plan": requests.of(lambda: build_plan(dag, open_store(url), "x")),
        "status": requests.of(lambda: status_of(open_store(url))),
    }


@contextmanager
def counted_s3() -> Iterator[Requests]:
    """A local S3 server, which the environment of this process names, and its requests."""
    requests = Requests()
    logging.getLogger("werkzeug").addHandler(requests)
    logging.getLogger("werkzeug").propagate = False
    with local_s3() as endpoint:
        os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "XDG_CACHE_HOME": tempfile.mkdtemp()}
        yield requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, nargs=2, default=[4, 12], help="two numbers of parts")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args()
    with counted_s3() as requests:
        few, many = (measure(requests, parts) for parts in args.parts)
    results: list[dict[str, Any]] = []
    added = args.parts[1] - args.parts[0]
    for verb, counts in many.items():
        for method in METHODS:
            per_part = (counts[method] - few[verb][method]) / added
            once = counts[method] - per_part * args.parts[1]
            results.append({"verb": verb, "method": method, "once": once, "per_part": per_part})
    rows = [(verb, what, *_cells(results, verb, what)) for verb in many for what in ("once", "per_part")]
    print(table(("verb", "requests", *METHODS), rows))
    write_json(args.json, {"steps": _STEPS, "requests": results})


def _cells(results: list[dict[str, Any]], verb: str, what: str) -> list[str]:
    return [f"{result[what]:.1f}" for result in results if result["verb"] == verb]


if __name__ == "__main__":
    main()
