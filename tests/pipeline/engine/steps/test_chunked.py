"""Chunked stages, task by task: the results of a worker, what it reuses, and the history of such rows."""

from pathlib import Path

import pytest
from songs import Sing, songs, sung_in
from toys import N, Quiet

from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Reject
from pipeline.engine.replay import replay
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.task import Task
from pipeline.engine.worker import Worker
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.history.status import status_of
from pipeline.planning.plan import Plan, build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

PART_6 = Task("sing", "part", 6)  # the part of number 6, which has seven verses


def started(store: Path, **sing: object) -> tuple[Plan, Worker]:
    """A plan with one number per part, and a worker that has run its source."""
    plan = build_plan(songs(count=7, rows_per_part=1, **sing), FolderStore(store), "r")
    for step in plan:
        begin_table(plan, step)
    worker = Worker(plan, share_pieces=True)
    worker.run(Task("numbers", "rows"))
    return plan, worker


def test_a_part_with_a_large_row_returns_its_pieces(tmp_path: Path) -> None:
    plan, worker = started(tmp_path)
    result = worker.run(PART_6)
    assert result.pieces == tuple(f"0000.{index:05d}" for index in range(7))
    assert result.row_counts is None
    assert not plan.store.exists(f"{plan['sing'].folder}/{part_name(6)}")
    assert worker.run(Task("sing", "part", 0)).row_counts is not None  # one verse: not split
    for name in result.pieces[:5]:
        worker.run(Task("sing", "piece", 6, name))
    assert worker.run(PART_6).pieces == result.pieces[5:]


def test_a_single_process_uses_finished_pieces_and_processes_the_rest(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan, worker = started(tmp_path / "s", count_in=str(counted))
    names = worker.run(PART_6).pieces
    for name in names[2:4]:
        worker.run(Task("sing", "piece", 6, name))
    row_counts = Worker(plan).run(PART_6).row_counts
    assert row_counts is not None
    assert row_counts.passed == 1
    assert [verse for verse, _ in sung_in(counted)] == ["6.2", "6.3", "6.0", "6.1", "6.4", "6.5", "6.6"]
    table = read_part(plan.store, f"{plan['sing'].folder}/{part_name(6)}")
    song = table.column("song")[0].as_py()
    assert plan.store.read(song["path"]) == b"".join(f"6.{verse}\n".encode() for verse in range(7))
    assert not (tmp_path / "s" / plan["sing"].folder / "pieces").joinpath("part-000006").exists()


def test_a_piece_of_a_part_that_another_driver_has_joined_is_skipped(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan, worker = started(tmp_path / "s", count_in=str(counted))
    names = worker.run(PART_6).pieces
    Worker(plan).run(PART_6)
    before = counted.read_text()
    worker.run(Task("sing", "piece", 6, names[0]))
    assert counted.read_text() == before
    assert worker.run(Task("sing", "join", 6)).row_counts == worker.run(PART_6).row_counts


def test_annotate_splits_works_and_joins_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    song, rejected = Sing(rejects=(3,)).annotate([N(n=2), N(n=3)])
    assert isinstance(rejected, Reject)
    assert not isinstance(song, Reject)
    assert song.song.read() == b"2.0\n2.1\n2.2\n"
    assert song.opening.read() == b"2.0"
    assert list(tmp_path.iterdir()) == []


def test_history_and_replay_of_chunked_rows(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    dag = songs(rejects=(5,))
    run_dag(
        dag,
        str(tmp_path),
        executor=Inline(),
        observer=Quiet(),
        request=RunRequest("songs.py", {}, str(tmp_path)),
    )
    history = read_history(store)
    assert {line.step: line.rejected for line in status_of(store).lines}["sing"] == 1
    for row in read_part(store, f"{history['numbers'].folder}/{part_name(1)}")["id"].to_pylist():
        again = replay(history, dag, "sing", row)
        assert again.is_equal
    assert again.records
