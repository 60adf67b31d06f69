"""Tests of retry_errors: good rows are copied, old tables stay, and later runs use the new tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from toys import N, Numbers, Quiet

from manifests import Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Annotate, Dag, Reject
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag


class Twice(Row):
    twice: int = column("two times the number")


class Double(Annotate[N, Twice]):
    """Raises an error on multiples of `broken`, rejects 5, and logs the rows that it receives."""

    broken: int = 0
    count_in: str
    execution_settings = frozenset({"broken", "count_in"})

    def annotate(self, rows: Sequence[N]) -> Iterator[Twice | Reject]:
        for row in rows:
            with open(self.count_in, "a") as file:
                file.write(f"{row.n}\n")
            if self.broken and row.n and row.n % self.broken == 0:
                raise OSError("the mount is gone")
            yield Reject("5 is invalid") if row.n == 5 else Twice(twice=2 * row.n)


def run(store: Path, broken: int, retry: bool = False) -> tuple[RunResult, list[int]]:
    """Return the result of the run and the numbers that the stage received."""
    counted = store.with_suffix(".count")
    counted.write_text("")
    dag = Dag("doubles")
    stage = Double(broken=broken, count_in=str(counted)).on(retries=0)
    rows = dag.read(Numbers(count=12), rows_per_part=3).annotate(stage)
    dag.save(rows.keep("twice < 18", because="too large"), "doubles")
    outcome = run_dag(
        dag,
        str(store),
        executor=Inline(),
        observer=Quiet(),
        request=RunRequest("doubles.py", {}, str(store)),
        retry_errors=retry,
    )
    return outcome, sorted(int(n) for n in counted.read_text().split())


def lost(outcome: RunResult) -> tuple[int, int]:
    """How many rows were rejected, and on how many a stage failed."""
    return outcome.funnel.rejected, outcome.funnel.errors


def doubles(store: Path) -> list[list[int]]:
    """Return the values in each table of the stage."""
    folder, found = FolderStore(store), []
    for table in sorted(folder.names(), key=lambda name: (store / name).stat().st_ctime_ns):
        if table.startswith("double-"):
            parts = [read_part(folder, f"{table}/{part_name(n)}") for n in parts_of(folder, table)]
            found.append([value for part in parts for value in part["twice"].to_pylist()])
    return found


def test_error_rows_are_processed_again_and_good_rows_are_copied(tmp_path: Path) -> None:
    store = tmp_path / "s"
    outcome, received = run(store, broken=4)
    assert (lost(outcome), received) == ((1, 2), list(range(12)))  # errors on 4 and 8; 5 is rejected
    assert run(store, broken=0)[1] == []
    outcome, received = run(store, broken=0, retry=True)
    assert (lost(outcome), received) == ((1, 0), [4, 5, 8])
    good = [2 * n for n in range(12) if n not in (4, 5, 8)]
    assert sorted(doubles(store)) == sorted([good, [2 * n for n in range(12) if n != 5]])
    log = (store / "runs" / outcome.run / "log.txt").read_text()
    assert "double: 2 rows on which it failed are processed again" in log
    outcome, received = run(store, broken=0, retry=True)
    assert (lost(outcome), received, len(doubles(store))) == ((1, 0), [], 2)


def test_repeated_errors_can_be_retried(tmp_path: Path) -> None:
    store = tmp_path / "s"
    run(store, broken=4)
    outcome, received = run(store, broken=8, retry=True)
    assert (lost(outcome), received) == ((1, 1), [4, 5, 8])
    outcome, received = run(store, broken=0, retry=True)
    assert (lost(outcome), received) == ((1, 0), [5, 8])
    assert len(doubles(store)) == 3
    assert run(store, broken=0)[0].funnel.lines == outcome.funnel.lines
