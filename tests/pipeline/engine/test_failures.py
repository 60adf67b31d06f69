"""Regression tests: lost rows, wrong row counts, and runs that did not end."""

import errno
import os
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from siding import siding
from toys import N, Numbers, Piece, Quiet, Uneven, toy_dag

from manifests import Row, Vector, column
from manifests.errors import Damaged, SchemaMismatch, StoreFull
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, parts_of, read_part
from pipeline import Annotate, Dag, Expand, Reject
from pipeline.engine.journal import Journal, RowResult
from pipeline.engine.lease import Lease
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Task
from pipeline.errors import RowCountMismatch, StageFailed
from pipeline.executors.inline import Inline
from pipeline.executors.ranks import first_failed
from pipeline.planning.plan import Plan, build_plan


class Value(Row):
    value: int = column("a number")


def run(dag: Dag, store: Path, name: str = "r") -> tuple[Plan, Schedule]:
    plan = build_plan(dag, FolderStore(store), name)
    return plan, Inline().run(plan, Quiet())


def dag_of(stage: Annotate[N, Row], count: int = 6, rows_per_part: int = 3) -> Dag:
    dag = Dag("d")
    dag.save(dag.read(Numbers(count=count), rows_per_part=rows_per_part).annotate(stage.on(name="it")), "x")
    return dag


def rows(plan: Plan, step: str) -> list[dict[str, object]]:
    folder = plan[step].folder
    tables = [read_part(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder)]
    return [row for table in tables for row in table.to_pylist()]


def rejects(plan: Plan, step: str) -> list[dict[str, object]]:
    names = plan.store.walk(f"{plan[step].folder}/rejects")
    return [row for name in names for row in read_part(plan.store, name).to_pylist()]


def test_children_with_equal_keys_stop_the_run_and_are_not_merged(tmp_path: Path) -> None:
    class EqualKeys(Expand[N, Piece]):
        def expand(self, row: N) -> Iterator[Piece]:
            yield Piece(start=0, length=row.n)
            yield Piece(start=0, length=row.n)

    dag = Dag("d")
    dag.save(dag.read(Numbers(count=2)).expand(EqualKeys()), "x")
    with pytest.raises(StageFailed, match="two children with equal key columns"):
        run(dag, tmp_path)


def test_a_part_deleted_from_a_complete_table_is_made_again(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(), tmp_path)
    for step in ("numbers", "square", "sum"):
        lost = tmp_path / plan[step].folder / part_name(1)
        before = lost.read_bytes()
        lost.unlink()
        _, schedule = run(toy_dag(), tmp_path, "again")
        assert schedule.is_finished
        assert lost.read_bytes() == before


def test_a_run_that_cannot_continue_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule, "_input_exists", lambda *_: False)
    with pytest.raises(StageFailed, match="not finished"):
        run(toy_dag(), tmp_path)


class Faulty(Annotate[N, Value]):
    """Fails on the number 3 in the way that `kind` names."""

    kind: str
    execution_settings = frozenset({"kind"})  # a fixed stage keeps its key

    def annotate(self, rows: Sequence[N]) -> Iterator[Value | Reject]:
        for row in rows:
            if row.n == 3 and self.kind == "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            if row.n == 3 and self.kind == "huge":
                raise MemoryError("Unable to allocate 40 TiB")
            if row.n == 3 and self.kind == "name":
                yield Reject("not a video: caf\udce9.mp4")
            elif row.n == 3 and self.kind == "type":
                yield Value(value="3")  # type: ignore[arg-type]
            else:
                yield Value(value=row.n)


def test_a_full_disk_rejects_no_row(tmp_path: Path) -> None:
    with pytest.raises(StoreFull):
        run(dag_of(Faulty(kind="full")), tmp_path)
    plan, _ = run(dag_of(Faulty(kind="")), tmp_path)
    assert [r["value"] for r in rows(plan, "it")] == list(range(6))


def test_a_row_that_needs_too_much_memory_is_rejected(tmp_path: Path) -> None:
    plan, _ = run(dag_of(Faulty(kind="huge")), tmp_path)
    (reject,) = rejects(plan, "it")
    assert (reject["kind"], reject["reason"]) == ("error", "out of memory with one row")
    assert str(reject["detail"]).startswith("MemoryError: Unable to allocate 40 TiB at ")
    assert [r["value"] for r in rows(plan, "it")] == [0, 1, 2, 4, 5]


def test_a_reason_may_contain_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    plan, _ = run(dag_of(Faulty(kind="name")), tmp_path)
    assert [r["reason"] for r in rejects(plan, "it")] == [r"not a video: caf\udce9.mp4"]


def test_a_result_of_a_wrong_type_is_not_kept_for_the_fixed_stage(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch):
        run(dag_of(Faulty(kind="type")), tmp_path)
    plan, _ = run(dag_of(Faulty(kind="")), tmp_path)
    assert [r["value"] for r in rows(plan, "it")] == list(range(6))


def test_a_journal_returns_vectors_unchanged(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "a")
    journal.finish({"x": RowResult(records=[{"v": array("d", [0.5, 3.0])}])})
    journal.close(delete=False)
    assert Journal(tmp_path, "b").results["x"].records == [{"v": array("f", [0.5, 3.0])}]


def test_a_journal_whose_folder_another_driver_deletes(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    first = Journal(tmp_path / "j", "a")
    first.close(delete=True)
    second = Journal(tmp_path / "j", "b")
    second.start(["x"])
    second.close(delete=False)
    assert Journal(tmp_path / "j", "b").crashes == {"x": 1}


class Wide(Row):
    value: int = column("a number")
    vector: Vector = column("another", unit="1")


def test_a_stage_that_adds_another_column_makes_another_table(tmp_path: Path) -> None:
    class Narrower(Annotate[N, Value]):
        def annotate(self, rows: Sequence[N]) -> Iterator[Value]:
            return (Value(value=row.n) for row in rows)

    class Wider(Annotate[N, Wide]):
        def annotate(self, rows: Sequence[N]) -> Iterator[Wide]:
            return (Wide(value=row.n, vector=array("f", [1.0])) for row in rows)

    Narrower.__qualname__ = Wider.__qualname__ = "Same"  # the same stage, before and after an edit
    run(dag_of(Narrower()), tmp_path)
    plan, _ = run(dag_of(Wider()), tmp_path)
    assert all(row["vector"] == [1.0] for row in rows(plan, "it"))


class Late(Annotate[N, Value]):
    """Fails on every number from 16."""

    def annotate(self, rows: Sequence[N]) -> Iterator[Value]:
        for row in rows:
            if row.n >= 16:
                raise ValueError("not this one")
            yield Value(value=row.n)


def test_a_resumed_run_continues_if_only_failing_rows_remain(tmp_path: Path) -> None:
    class Stops(Quiet):
        def observe(self, schedule: Schedule) -> None:  # type: ignore[override]
            if 1 in schedule.steps["it"].done:
                raise KeyboardInterrupt

    dag = dag_of(Late(), count=24, rows_per_part=8)
    with pytest.raises(KeyboardInterrupt):
        Inline().run(build_plan(dag, FolderStore(tmp_path), "a"), Stops())
    _, schedule = run(dag, tmp_path, "b")
    assert (schedule.steps["it"].row_counts.passed, schedule.steps["it"].row_counts.errors) == (16, 8)


def test_a_layer_with_fewer_rows_than_its_row_counts_is_not_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = RowCounts(rows_in=3, passed=3, rows_out=2)
    monkeypatch.setattr("pipeline.engine.steps.rowwise.RowCounts", lambda **_: wrong)
    with pytest.raises(RowCountMismatch, match="step it"):
        run(dag_of(Faulty(kind="")), tmp_path)


def test_the_parts_of_a_survey_are_queued_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(toy_dag(count=300), FolderStore(tmp_path), "r")
    queued: list[Task] = []
    push = Schedule._push
    monkeypatch.setattr(Schedule, "_push", lambda self, task: (queued.append(task), push(self, task))[1])
    Inline().run(plan, Quiet())
    parts = [task for task in queued if task.step == "sum" and task.phase == "part"]
    assert len(parts) == 100


def test_a_failed_heartbeat_is_followed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.lease._HEARTBEAT_S", 0.01)
    store, failed = FolderStore(tmp_path), []
    replace = store.replace

    def fails_once(name: str, data: bytes) -> None:
        if not failed:
            failed.append(name)
            raise StoreFull("no room")
        replace(name, data)

    monkeypatch.setattr(store, "replace", fails_once)
    with Lease(store, "r"):
        before = store.read("lease.json")
        while store.read("lease.json") == before:
            time.sleep(0.01)
    assert failed


def launched(folder: Path, fails: bool) -> Plan:
    folder.mkdir()
    dag = Dag("d")
    dag.save(dag.read(Numbers(count=2)).launch(Uneven(ranks_in=str(folder), fails=fails).on(ranks=2)), "x")
    return build_plan(dag, FolderStore(folder.parent / "s"), "r")


def all_ended(folder: Path) -> bool:
    return not any(psutil.pid_exists(int(file.name)) for file in folder.iterdir())


def test_a_failed_rank_ends_the_ranks_that_wait_for_it(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="rank 1 of 2 failed"):
        Inline().run(launched(tmp_path / "ranks", fails=True), Quiet())
    assert all_ended(tmp_path / "ranks")


class FakeProcess:
    """A process whose exit code changes at each read, until the last code."""

    def __init__(self, sentinel: int, *codes: int | None) -> None:
        self.sentinel, self._codes = sentinel, list(codes)

    @property
    def exitcode(self) -> int | None:
        return self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]


def test_a_rank_that_ends_while_its_code_is_read_is_reported_as_failed() -> None:
    (ended, other), (waits, held) = os.pipe(), os.pipe()
    os.close(other)  # a process closes its pipe shortly before its exit code can be read
    assert first_failed([FakeProcess(ended, None, 1), FakeProcess(waits, None)]) == [0]  # type: ignore[list-item]
    for end in (ended, waits, held):
        os.close(end)


def test_ranks_end_with_the_driver_that_was_killed(tmp_path: Path) -> None:
    here = Path(__file__)
    paths = [str(p) for p in (here.parents[2] / "toys", here.parent, here.parents[3])]
    script = tmp_path / "driver.py"
    script.write_text(
        "from pathlib import Path\n"
        "from test_failures import Inline, Quiet, launched\n"
        "if __name__ == '__main__':\n"
        f"    Inline().run(launched(Path({str(tmp_path / 'ranks')!r}), fails=False), Quiet())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    driver = subprocess.Popen([sys.executable, script], env=environment)
    ranks = tmp_path / "ranks"
    while not ranks.exists() or len(list(ranks.iterdir())) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    for _ in range(200):
        if all_ended(ranks):
            break
        time.sleep(0.05)
    assert all_ended(ranks)


def test_a_folder_with_another_table_is_not_changed(tmp_path: Path) -> None:
    """Folder names contain the first digits of the keys; `table.json` contains all digits."""
    plan = build_plan(toy_dag(), FolderStore(tmp_path), "a")
    Inline().run(plan, Quiet())
    header = tmp_path / plan["square"].folder / "table.json"
    header.write_text(header.read_text().replace(plan["square"].keys.run, "0" * 64))
    with pytest.raises(Damaged, match="square holds another table"):
        Inline().run(build_plan(toy_dag(), FolderStore(tmp_path), "b"), Quiet())


def test_a_survey_with_never_rejects_must_not_reject(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"never_rejects.*9 is large"):
        Inline().run(build_plan(siding(rejects=True), FolderStore(tmp_path), "r"), Quiet())
