"""Deleted artifacts: `plan` counts the rows that lack files, and a run makes them again, byte for byte."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import N, Numbers, Quiet, Squared, toy_dag

from manifests import Artifact, Row, column
from manifests.catalog import tables_of
from manifests.stores.folder import FolderStore
from manifests.verbs.validation import check
from pipeline import Annotate, Dag, Expand, Launch
from pipeline.engine.missing_files import missing_files
from pipeline.errors import StageFailed
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from pipeline.preview.forecast import forecast
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag
from pipeline.verbs.plan import step_record


class SquareText(Row):
    square: int
    text: Artifact


class Digit(Row):
    digit: str = column("one digit", key=True)
    file: Artifact = column("the digit")


class Digits(Expand[SquareText, Digit]):
    """The digits of a square; reads the text."""

    def expand(self, row: SquareText) -> Iterator[Digit]:
        for digit in sorted({*row.text.read().decode()}):
            yield Digit(digit=digit, file=Artifact.of(digit.encode() * 3, ".txt"))


class Named(Row):
    digit: str


class Book(Row):
    book: Artifact = column("all digits")


class Bind(Launch[Named, Book]):
    def run(self, rows: Iterator[Named], work: Path) -> Book:
        text = "".join(row.digit for row in rows).encode()
        return Book(book=Artifact.of(text, ".txt", name="books/book.txt"))


class Noisy(Annotate[N, Squared]):
    """Its files differ with each call, as those of another version of an encoder."""

    note: str
    execution_settings = frozenset({"note"})

    def annotate(self, rows: Sequence[N]) -> Iterator[Squared]:
        for row in rows:
            text = f"{row.n} {Path(self.note).read_text()}".encode()
            yield Squared(square=row.n, half=1.0, text=Artifact.of(text, ".txt"))


def run(dag: Dag, store: Path) -> RunResult:
    request = RunRequest("toy.py", {}, str(store))
    return run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request)


def every_kind(**square: object) -> Dag:
    """Artifacts in a layer, in children, in a survey and in a model."""
    dag = toy_dag(count=8, min_half=0, **square)
    rows = dag.views["square"].expand(Digits())
    dag.save(rows, "digits")
    dag.save(rows.launch(Bind()), "book")
    return dag


def files_of(store: Path) -> dict[str, str]:
    files = [p for p in store.rglob("*") if p.is_file() and "runs" not in p.parts]
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def artifact(store: Path, step: str, text: str) -> Path:
    """The artifact of a step with this content."""
    files = [*store.glob(f"{step}-*/artifacts/*/*.txt"), *store.glob(f"{step}-*/*/*.txt")]
    return next(file for file in files if file.read_text() == text)


def processed(result: RunResult) -> dict[str, int]:
    return {name: work.processed for name, work in result.rows.items() if work.processed}


def test_only_the_rows_without_files_are_made_again_in_every_kind_of_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, log = tmp_path / "s", tmp_path / "log"
    dag = every_kind(count_in=str(log))
    assert processed(run(dag, store))["square"] == 8
    before = files_of(store)
    assert processed(run(dag, store)) == {}
    log.write_text("")
    group = next(store.glob("sum-*/groups/*.txt"))
    members = len(group.read_text().split())
    for file in (artifact(store, "square", "3"), artifact(store, "digits", "222"), group):
        file.unlink()
    next(store.glob("bind-*/books/book.txt")).unlink()
    planned = build_plan(dag, FolderStore(store), "plan")
    records = {r["step"]: r for r in map(step_record, forecast(planned))}
    lacking = {name: r["rows_lacking_files"] for name, r in records.items() if r["rows_lacking_files"]}
    assert lacking == {"square": 1, "digits": 1, "sum": members, "bind": 1}
    assert [records[name]["complete"] for name in ("numbers", "square", "split")] == [True, False, True]
    result = run(dag, store)
    assert processed(result) == lacking
    assert log.read_text().split() == ["3"]
    assert files_of(store) == before
    assert (
        "square: 1 rows whose files were deleted are made again"
        in (store / "runs" / result.run / "log.txt").read_text()
    )
    assert processed(run(dag, store)) == {}
    assert capsys.readouterr().out == ""


def test_a_copied_row_gets_its_file_back_in_the_older_table(tmp_path: Path) -> None:
    store = tmp_path / "s"
    run(toy_dag(count=4), store)
    run(toy_dag(count=9), store)
    before = files_of(store)
    artifact(store, "square", "2").unlink()
    assert processed(run(toy_dag(count=9), store)) == {"square": 1}
    assert files_of(store) == before


def test_a_row_whose_file_is_gone_is_not_copied_to_a_new_table(tmp_path: Path) -> None:
    store = tmp_path / "s"
    run(toy_dag(count=9), store)
    artifact(store, "square", "2").unlink()
    assert processed(run(toy_dag(count=10), store))["square"] == 2  # the new number, and 2
    folder = FolderStore(store)
    newest = [t for t in tables_of(folder) if t.folder.startswith("square-")]
    faults = [fault.where for fault in check(folder, newest).faults]
    assert len(faults) == 1  # of the older table
    artifact(store, "square", "2")


def test_other_files_give_a_new_table_for_the_rows_that_lack_them(tmp_path: Path) -> None:
    store, note = tmp_path / "s", tmp_path / "note"
    note.write_text("first")
    dag = Dag("noisy")
    dag.save(dag.read(Numbers(count=6), rows_per_part=3).annotate(Noisy(note=str(note))), "rows")
    run(dag, store)
    artifact(store, "noisy", "4 first").unlink()
    note.write_text("second")
    with pytest.raises(StageFailed, match="differ from the recorded ones") as caught:
        run(dag, store)
    assert "run again" in caught.value.remedy
    result = run(dag, store)
    assert (processed(result), result.rows["noisy"].reused) == ({"noisy": 1}, 5)
    assert not missing_files(build_plan(dag, FolderStore(store), "x"))
    assert processed(run(dag, store)) == {}


def test_a_row_that_cannot_be_made_again_names_the_step_and_a_remedy(tmp_path: Path) -> None:
    store, note = tmp_path / "s", tmp_path / "note"
    note.write_text("first")
    dag = Dag("noisy")
    dag.save(dag.read(Numbers(count=2)).annotate(Noisy(note=str(note))), "rows")
    run(dag, store)
    note.unlink()
    artifact(store, "noisy", "1 first").unlink()
    with pytest.raises(StageFailed, match="step noisy cannot make 1 rows again") as caught:
        run(dag, store)
    assert "restore the files" in caught.value.remedy


def test_a_listing_asks_once_for_each_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an object store one question for each file would take hours."""
    store = tmp_path / "s"
    dag = toy_dag(count=30)
    run(dag, store)
    walked: list[str] = []
    folder = FolderStore(store)
    walk = folder.walk
    monkeypatch.setattr(folder, "walk", lambda name="": (walked.append(name), walk(name))[1])
    monkeypatch.setattr(folder, "exists", lambda name: pytest.fail("asked for one file"))
    assert missing_files(build_plan(dag, folder, "x")) == {}
    assert sorted(name.split("-")[0] for name in walked) == ["square", "sum"]
    assert json.dumps(walked)
