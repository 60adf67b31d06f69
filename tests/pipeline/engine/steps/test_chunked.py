"""Rows in pieces, task by task: what a worker answers, what it uses, and that history knows such rows."""

from pathlib import Path

import pytest
from songs import Sing, songs, sung_in
from toys import N, Quiet

from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Reject
from pipeline.engine.replay import replay
from pipeline.engine.steps.finalize import begin
from pipeline.engine.task import Task
from pipeline.engine.worker import Worker
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_past
from pipeline.history.status import status_of
from pipeline.planning.plan import Plan, plan_of
from pipeline.recipes.request import RunRequest
from pipeline.run import carry_out

SIX = Task("sing", "part", 6)  # the part of number 6, which has seven verses


def begun(store: Path, **sing: object) -> tuple[Plan, Worker]:
    """A plan with one number a part, as far as its source."""
    plan = plan_of(songs(count=7, rows_per_part=1, **sing), FolderStore(store), "r")
    for step in plan:
        begin(plan, step)
    worker = Worker(plan, spread=True)
    worker.do(Task("numbers", "rows"))
    return plan, worker


def test_a_part_with_a_large_row_is_answered_with_its_pieces(tmp_path: Path) -> None:
    plan, worker = begun(tmp_path)
    done = worker.do(SIX)
    assert done.pieces == tuple(f"0000.{index:05d}" for index in range(7))
    assert done.row_counts is None
    assert not plan.store.exists(f"{plan['sing'].folder}/{part_name(6)}")
    assert worker.do(Task("sing", "part", 0)).row_counts is not None  # of one verse: made at once
    for name in done.pieces[:5]:
        worker.do(Task("sing", "piece", 6, name))
    assert worker.do(SIX).pieces == done.pieces[5:]


def test_a_process_alone_takes_what_stands_and_does_the_rest(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan, worker = begun(tmp_path / "s", count_in=str(counted))
    names = worker.do(SIX).pieces
    for name in names[2:4]:
        worker.do(Task("sing", "piece", 6, name))
    row_counts = Worker(plan).do(SIX).row_counts
    assert row_counts is not None
    assert row_counts.passed == 1
    assert [verse for verse, _ in sung_in(counted)] == ["6.2", "6.3", "6.0", "6.1", "6.4", "6.5", "6.6"]
    table = read_part(plan.store, f"{plan['sing'].folder}/{part_name(6)}")
    song = table.column("song")[0].as_py()
    assert plan.store.read(song["path"]) == b"".join(f"6.{verse}\n".encode() for verse in range(7))
    assert not (tmp_path / "s" / plan["sing"].folder / "pieces").joinpath("part-000006").exists()


def test_a_piece_of_a_part_that_another_driver_has_joined_is_nothing_to_do(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    plan, worker = begun(tmp_path / "s", count_in=str(counted))
    names = worker.do(SIX).pieces
    Worker(plan).do(SIX)
    before = counted.read_text()
    worker.do(Task("sing", "piece", 6, names[0]))
    assert counted.read_text() == before
    assert worker.do(Task("sing", "join", 6)).row_counts == worker.do(SIX).row_counts


def test_annotate_is_the_three_in_turn_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    song, refused = Sing(refused=(3,)).annotate([N(n=2), N(n=3)])
    assert isinstance(refused, Reject)
    assert not isinstance(song, Reject)
    assert song.song.read() == b"2.0\n2.1\n2.2\n"
    assert song.opening.read() == b"2.0"
    assert list(tmp_path.iterdir()) == []


def test_history_knows_such_rows(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    dag = songs(refused=(5,))
    carry_out(
        dag, str(tmp_path), executor=Inline(), watch=Quiet(), asked=RunRequest("songs.py", {}, str(tmp_path))
    )
    past = read_past(store)
    assert {line.step: line.rejected for line in status_of(store).lines}["sing"] == 1
    for row in read_part(store, f"{past['numbers'].folder}/{part_name(1)}")["id"].to_pylist():
        again = replay(past, dag, "sing", row)
        assert again.equal
    assert again.given
