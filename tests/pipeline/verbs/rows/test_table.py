"""clipmill table on the store of a toy run: its outcomes are those of the funnel, explain and the files."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import counting
import pytest
from toys import Numbers, Quiet, Split, Square

from manifests import Row, clips, column
from manifests.stores.folder import FolderStore
from pipeline import Dag, Expand
from pipeline.cli import main
from pipeline.executors.inline import Inline
from pipeline.history.explain import row_history
from pipeline.history.find import find_row
from pipeline.history.funnel import funnel_of
from pipeline.history.run_history import RunHistory, read_history
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

OUTCOMES = ("dropped", "rejected", "error")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    store = tmp_path_factory.mktemp("store")
    request = RunRequest(counting.__file__, {}, str(store))
    dag = counting.counting(bad=5, unnamed=3, fail_on=11)
    run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request)
    return read_history(FolderStore(store))


@pytest.mark.parametrize("base", ["numbers", "split"])
def test_the_outcomes_sum_to_the_funnel(base: str, history: RunHistory) -> None:
    table = clips(history.store.url, columns=["outcome", "removed_by"], of=base).to_pylist()
    found = Counter((row["outcome"], row["removed_by"]) for row in table)
    counted = next(outcomes for outcomes in funnel_of(history).outcomes if outcomes.base == base)
    expected = Counter({("kept", None): counted.kept})
    for outcome, by_step in zip(OUTCOMES, (counted.dropped, counted.rejected, counted.errors), strict=True):
        expected.update({(outcome, step): count for step, count in by_step.items()})
    assert +found == +expected
    assert found.total() == counted.rows


def test_the_reasons_are_those_of_explain(history: RunHistory) -> None:
    rows = clips(history.store.url, of="numbers").to_pylist()
    for row in rows:
        explained = row_history(history, find_row(history, row["id"], "numbers"), relatives=False)
        removed = [event for event in explained.events if event.outcome != "kept"]
        assert row["removed_by"] == (removed[0].step if removed else None)
        assert (row["reason"] or "") in explained.summary
        assert (row["detail"] or "") in explained.summary
        values = {name: value for event in explained.events for name, (value, _) in event.values.items()}
        assert row["n"] == values["n"]
        assert row["square"] == values.get("square")
    assert {row["n"]: row["outcome"] for row in rows if row["n"] in (4, 5, 11, 13)} == {
        4: "dropped", 5: "rejected", 11: "error", 13: "kept",
    }  # fmt: skip


class StartOfPiece(Row):
    start: int


class Half(Row):
    side: int = column("0 or 1", key=True)


class Halve(Expand[StartOfPiece, Half]):
    def expand(self, row: StartOfPiece) -> Iterator[Half]:
        yield from (Half(side=side) for side in (0, 1))


def test_rows_of_the_third_generation_have_all_columns(tmp_path: Path) -> None:
    dag = Dag("halves")
    pieces = dag.read(Numbers(count=8), rows_per_part=3).annotate(Square()).expand(Split())
    dag.save(pieces.expand(Halve()), "halves")
    run_dag(
        dag, str(tmp_path), executor=Inline(), observer=Quiet(), request=RunRequest("", {}, str(tmp_path))
    )
    rows = clips(tmp_path).to_pylist()
    found = Counter((row["n"], row["square"], row["start"], row["side"]) for row in rows)
    numbers = [(n, i) for n in range(8) for i in range(n % 4)]
    assert found == Counter((n, n * n, 2 * i, side) for n, i in numbers for side in (0, 1))
    counts = {row["n"]: row["clips"] for row in clips(tmp_path, of="split").to_pylist()}
    assert counts == dict.fromkeys({n for n, _ in numbers}, 2)
    assert "clips" not in clips(tmp_path, of="numbers").column_names


def test_a_part_that_is_not_done_is_pending(history: RunHistory, tmp_path: Path) -> None:
    shutil.copytree(history.store.url, tmp_path / "store")
    folder = tmp_path / "store" / history["sum"].folder
    (folder / "manifest.json").unlink()
    first = min(folder.glob("part-*.parquet"))
    lost = int(first.stem.removeprefix("part-"))
    first.unlink()
    outcomes = Counter(clips(tmp_path / "store")["outcome"].to_pylist())
    assert outcomes["pending"] == history.row_counts("split")[lost].rows_out
    assert outcomes.total() == clips(history.store.url).num_rows


def test_it_writes_files_and_prints_csv(
    history: RunHistory, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    store = f"store={history.store.url}"
    file = tmp_path / "numbers.json"
    where = ["--where", "outcome == 'kept' and n > 8", "--columns", "n, square"]
    assert main(["table", store, "--of", "numbers", *where, "--json", str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows
    assert all(row["square"] == row["n"] ** 2 for row in rows)
    assert list(tmp_path.iterdir()) == [file]
    assert b"numbers.json: " in capfdbinary.readouterr().out
    assert main(["table", "--csv", store, "--of", "numbers", *where]) == 0  # --csv names no file here
    printed = list(csv.DictReader(capfdbinary.readouterr().out.decode().splitlines()))
    assert [int(row["n"]) for row in printed] == [row["n"] for row in rows]


def test_a_failure_leaves_no_file(
    history: RunHistory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "t.csv"
    assert main(["table", f"store={history.store.url}", "--where", "nn > 1", "--csv", str(target)]) == 2
    assert "there is no column 'nn'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_gets_the_first_rows(
    history: RunHistory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    arguments = ["table", f"store={history.store.url}", "--of", "numbers"]
    assert main([*arguments, "--limit", "4"]) == 0
    head, *rows, blank, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "clips", "clips_kept", "outcome", "reason", "…"]
    assert len(rows) == 4
    assert blank == ""
    assert max(map(len, rows)) <= 60
    assert note.startswith("the first 4 of 20 rows of numbers; --csv FILE writes all")
    assert main([*arguments, "--parquet"]) == 2
    assert "name a file: --parquet FILE" in capsys.readouterr().err
    assert main([*arguments, "--list-columns"]) == 0
    assert "the number times itself (int64; square)" in capsys.readouterr().out
