"""The record of a run, its row accounting, the history of a row and its replay, on the store of a toy run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import counting
import pytest
from counting import Spell
from toys import Numbers, Quiet, Split, Square

from manifests import ManifestError, Row, column
from manifests.errors import Damaged
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, read_part, read_row_counts, write_part
from pipeline import Source
from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.engine.replay import dag_of_run, replay
from pipeline.errors import PipelineError, RowCountMismatch
from pipeline.executors.inline import Inline
from pipeline.history.explain import row_history
from pipeline.history.find import find_row
from pipeline.history.formatting import format_column
from pipeline.history.funnel import Funnel, funnel_of
from pipeline.history.row_outcomes import RowOutcomes
from pipeline.history.run_history import RunHistory, read_history
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

RECIPE = counting.__file__


class File(Row):
    id: str = column("made from the path")
    path: str = column("where it is")


class Files(Source[File]):
    def rows(self) -> Iterator[File]:
        for path in ("/store/a/film.mp4", "/store/b/film.mp4", "/store/b/old_film.mp4"):
            yield File(id=id_of(path), path=path)


def run_toy(store: Path, dag: Dag | None = None) -> RunHistory:
    dag = dag or counting.counting(bad=5, unnamed=3, fail_on=11)
    run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=RunRequest(RECIPE, {}, str(store)))
    return read_history(FolderStore(store))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    return run_toy(tmp_path_factory.mktemp("store"))


def ids(history: RunHistory) -> dict[int, str]:
    """The id of each number."""
    step = history["numbers"]
    parts = [read_part(history.store, f"{step.folder}/{part_name(n)}") for n in history.row_counts("numbers")]
    return {row["n"]: row["id"] for part in parts for row in part.to_pylist()}


def test_a_row_that_two_steps_reject_is_counted_once(tmp_path: Path) -> None:
    funnel = funnel_of(run_toy(tmp_path))
    numbers = next(each for each in funnel.outcomes if each.base == "numbers")
    lines = {line.step: line for line in funnel.lines}
    assert (lines["square"].rejected, lines["spell"].rejected) == (4, 7)  # 0 and 15 by both
    assert numbers.rejected == {"square": 4, "spell": 5, "too_small": 1}
    assert (lines["square"].errors, numbers.errors) == (1, {"square": 1})  # the stage failed on 11
    assert "1 failed in square" in numbers.line()
    assert numbers.dropped == {"too_small": 3}  # 1, 2, 4
    assert numbers.kept == 6 == lines["too_small"].passed
    assert numbers.rows == 20 == numbers.kept + 3 + 11


def test_a_wrong_row_count_is_detected(tmp_path: Path) -> None:
    history = run_toy(tmp_path)
    step = history["split"]
    manifest = tmp_path / step.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    with_rows = next(part for part in content["parts"] if part["row_counts"]["passed"])
    with_rows["row_counts"]["passed"] -= 1
    manifest.write_text(json.dumps(content))
    with pytest.raises(RowCountMismatch, match="on the path to split, but 5 are left"):
        funnel_of(read_history(history.store))


@pytest.mark.parametrize(
    ("n", "summary"),
    [
        (5, "rejected by square: 5 is a multiple of 5"),
        (6, "rejected by spell: 6 has no name"),
        (15, "rejected by square: 15 is a multiple of 5"),
        (7, "rejected by too_small: half missing: 'half >= 4.0' cannot be evaluated"),
        (4, "dropped by too_small: too small (half=2; the rule keeps half >= 4.0)"),
        (13, "kept to the end; split made 1 row, 1 kept"),
    ],
)
def test_the_history_of_a_row(n: int, summary: str, history: RunHistory) -> None:
    row = row_history(history, find_row(history, ids(history)[n]))
    assert row.summary == summary
    assert row.events[0].values["n"] == (n, "")
    measured = {name: value for event in row.events for name, value in event.values.items()}
    assert ("square" in measured) == (n % 5 > 0)
    if n == 13:
        assert measured["half"] == (6.5, "1")
        ((step, children),) = row.children.items()
        assert step == "split"
        assert [summary for _, summary in children] == ["kept to the end"]


def test_the_error_of_a_stage_names_its_line(history: RunHistory) -> None:
    row = row_history(history, find_row(history, ids(history)[11]))
    assert re.match(r"rejected by square: ValueError: this number fails \(.*toys.py:\d+ in", row.summary)


def test_the_history_of_a_child_includes_its_parent_and_its_group(history: RunHistory) -> None:
    parent = row_history(history, find_row(history, ids(history)[13]))
    ((child, _),) = parent.children["split"]
    row = row_history(history, find_row(history, child))
    assert row.parent
    assert row.parent.location == parent.location
    steps = [event.step for event in row.events]
    assert steps == ["split", "sum", "learn"]
    assert str(row.events[1].values["members"][0]["path"]).endswith(".txt")


def test_rows_are_found_by_the_first_digits_of_their_id(history: RunHistory) -> None:
    whole = ids(history)[13]
    assert find_row(history, whole[:8]).id == whole
    with pytest.raises(PipelineError, match="no row matches 'zzzz'"):
        find_row(history, "zzzz")
    with pytest.raises(PipelineError, match="no row matches"):
        find_row(history, whole, "split")  # it is not one of the pieces


class NoRuns(FolderStore):
    """A store in which no run is recorded."""

    def names(self, folder: str = "") -> list[str]:
        return [] if folder == "runs" else super().names(folder)


def test_files_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    dag = Dag("files")
    dag.save(dag.read(Files()), "files")
    history = run_toy(tmp_path, dag)
    assert find_row(history, "a/film.mp4").id == find_row(history, "/store/a/film.mp4").id
    assert find_row(history, "old_film.mp4").id == find_row(history, "d_film.mp4").id
    with pytest.raises(PipelineError, match="matches 2 rows"):
        find_row(history, "film.mp4")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("name", "x"), ("base", "x"), ("root", "x"), ("parents", -1), ("inputs", ["x"])),
        *(("made_by", None), ("columns", [1]), ("columns", [{}]), ("folder", [])),
    ],
)
def test_a_step_of_a_plan_with_a_wrong_value_is_damage(
    name: str, value: object, history: RunHistory, tmp_path: Path
) -> None:
    plan = json.loads(history.json_bytes())
    plan["steps"][0][name] = value
    store = FolderStore(tmp_path)
    store.create(f"runs/{history.run}/plan.json", json.dumps(plan).encode())
    with pytest.raises(Damaged, match="not a recorded plan"):
        read_history(store)


def test_without_a_record_the_tables_are_used(history: RunHistory, tmp_path: Path) -> None:
    tables = read_history(NoRuns(history.store.url))
    assert tables.run == ""
    row = row_history(tables, find_row(tables, ids(history)[4]))
    assert "too small (half=2;" in row.summary
    with pytest.raises(ManifestError, match="no recipe was run"):
        read_history(FolderStore(tmp_path))


@pytest.mark.parametrize("n", [5, 11, 13, 15])
def test_a_replay_equals_the_stored_result_and_changes_no_file(n: int, history: RunHistory) -> None:
    before = sorted(history.store.walk())
    dag = counting.counting(bad=5, unnamed=3, fail_on=11)
    found = replay(history, dag, "square", ids(history)[n])
    assert found.is_equal, found
    assert bool(found.records) == (n == 13)
    assert sorted(history.store.walk()) == before


def test_children_rules_and_surveys_are_replayed(history: RunHistory) -> None:
    dag = counting.counting(bad=5, unnamed=3, fail_on=11)
    assert replay(history, dag, "split", ids(history)[13]).is_equal
    assert replay(history, dag, "too_small", ids(history)[4]).reason == "too small"
    assert replay(history, dag, "too_small", ids(history)[7]).is_equal
    ((child, _),) = row_history(history, find_row(history, ids(history)[13])).children["split"]
    summed = replay(history, dag, "sum", child)
    assert summed.is_equal
    assert summed.records[0]["total"] > 0


def test_a_replay_shows_the_result_of_a_changed_stage(history: RunHistory) -> None:
    dag = counting.counting(bad=13, unnamed=3, fail_on=11)
    found = replay(history, dag, "square", ids(history)[13])
    assert not found.is_equal
    assert found.reason == "13 is a multiple of 13"
    assert found.stored_records[0]["square"] == 169


@pytest.mark.parametrize(
    ("step", "n", "message"),
    [
        ("squre", 13, "did you mean 'square'"),
        ("numbers", 13, "is a source"),
        ("learn", 13, "is a model"),
        ("split", 4, "did not reach step split: it was dropped by too_small"),
    ],
)
def test_an_impossible_replay_has_a_reason(step: str, n: int, message: str, history: RunHistory) -> None:
    with pytest.raises(PipelineError) as error:
        replay(history, counting.counting(), step, ids(history)[n])
    assert message in str(error.value)


def test_the_command_replays_with_a_recipe(history: RunHistory, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", "square", "--row", ids(history)[11], f"store={history.store.url}"]
    knobs = ["--recipe", RECIPE, "--knob", "bad=5", "--knob", "fail_on=11"]
    assert main([*words, *knobs]) == 0
    assert "equal to the stored result" in capsys.readouterr().out
    with pytest.raises(ValueError, match="fails"):
        main([*words, *knobs, "--debug"])
    assert main(words) == 0  # the record names the file of the toys
    assert "equal to the stored result" in capsys.readouterr().out


def test_the_record_holds_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_VARIABLE", "from-the-environment")
    words = ["run", RECIPE, f"store={tmp_path}", "--inline", "--quiet", "count=3", "min_half=0"]
    assert main([*words, "token=s3://me:hush@host/a?X-Signature=quiet"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    for file in run.iterdir():
        for secret in ("hush", "from-the-environment", "X-Signature"):
            assert secret not in file.read_text(), file.name
    request = json.loads((run / "request.json").read_text())
    assert request["knobs"] == {"count": "3", "min_half": "0", "token": "***"}
    assert request["packages"]["pyarrow"]


def test_the_recorded_recipe_is_the_dag(history: RunHistory) -> None:
    text = history.store.read(f"runs/{history.run}/recipe.yaml").decode()
    from pipeline.recipes.yaml_text import from_yaml, to_yaml

    dag = counting.counting(bad=5, unnamed=3, fail_on=11)
    assert text == to_yaml(dag)
    assert list(from_yaml(text, packages=("toys", "counting")).nodes) == list(dag.nodes)
    assert list(dag_of_run(history).nodes) == list(dag.nodes)


def test_sums_and_ids_agree_on_the_outcomes(tmp_path: Path) -> None:
    """Steps in a line are counted by sums, and branches by ids; the counts of the line are equal."""
    line = Dag("line")
    rows = line.read(*[counting.Numbers(count=20)], rows_per_part=4).annotate(Square(bad=5))
    kept = rows.keep("half >= 4", because="too small")
    line.save(kept.expand(Split()), "pieces")
    alone = funnel_of(run_toy(tmp_path, line)).outcomes[0]
    branch = Dag("branch")
    source = branch.read(counting.Numbers(count=20), rows_per_part=4)
    kept = source.annotate(Square(bad=5), Spell()).keep("half >= 4", because="too small")
    branch.save(kept.expand(Split()), "pieces")
    beside = funnel_of(run_toy(tmp_path, branch)).outcomes[0]
    assert (alone.kept, alone.dropped, alone.rejected) == (beside.kept, beside.dropped, beside.rejected)
    assert alone.rejected == {"square": 4, "too_small": 1}


def test_a_row_that_is_missing_in_a_part_is_lost(tmp_path: Path) -> None:
    history = run_toy(tmp_path)
    row = find_row(history, ids(history)[13])
    name = f"{history['square'].folder}/{part_name(row.part)}"
    part, row_counts = read_part(history.store, name), read_row_counts(history.store, name)
    history.store.remove(name)
    write_part(history.store, name, part.slice(0, 0), RowCounts(**vars(row_counts)))
    assert row_history(history, row).summary.startswith("lost by square")


@pytest.mark.parametrize(
    ("n", "summary"),
    [
        (13, "kept to the end; split made 1 row, 1 kept"),
        (8, "kept, but nothing made from it is left; split made no row from it"),
        (4, "dropped by too_small"),
    ],
)
def test_the_summary_of_a_row_includes_the_rows_made_from_it(
    n: int, summary: str, history: RunHistory
) -> None:
    row = row_history(history, find_row(history, ids(history)[n]))
    assert row.summary.startswith(summary)


def test_a_row_whose_children_were_all_dropped_says_by_which_rules(tmp_path: Path) -> None:
    dag = Dag("numbers")
    pieces = dag.read(Numbers(count=8), rows_per_part=4).annotate(Square()).expand(Split())
    early = pieces.keep("start < 2", because="too late")
    dag.save(early.keep("square != 49", because="unlucky"), "pieces")
    history = run_toy(tmp_path, dag)
    row = row_history(history, find_row(history, ids(history)[7]))
    kept = "kept, but nothing made from it is left; "
    assert row.summary == f"{kept}split made 3 rows, 0 kept (2 dropped by too_late, 1 dropped by unlucky)"
    assert row.as_dict()["made"][0]["kept"] == 0
    row = row_history(history, find_row(history, ids(history)[6]))
    assert row.summary == "kept to the end; split made 2 rows, 1 kept (1 dropped by too_late)"


def test_rows_are_found_by_any_number_of_digits(history: RunHistory) -> None:
    every = [*ids(history).values()]
    every += [r for s in ("split", "learn") for n in history.row_counts(s) for r in all_ids(history, s, n)]
    for digits in (1, 2, 3, 5):
        for row in every:
            matching = [other for other in every if other.startswith(row[:digits])]
            if len(matching) == 1:
                assert find_row(history, row[:digits]).id == row
                continue
            with pytest.raises(PipelineError, match=f"matches {len(matching)} rows") as error:
                find_row(history, row[:digits])
            assert sum(other in error.value.where for other in matching) == min(8, len(matching))


def all_ids(history: RunHistory, step: str, number: int) -> list[str]:
    name = f"{history[step].folder}/{part_name(number)}"
    found: list[str] = read_part(history.store, name, ["id"])["id"].to_pylist()
    return found


def test_a_replay_prints_units(history: RunHistory) -> None:
    assert format_column("length", 2.5, "m") == "2.5 m"
    assert format_column("time_s", 2.5, "s") == "2.5"
    found = replay(history, counting.counting(), "square", ids(history)[13])
    assert found.units == {"id": "", "square": "", "half": "1", "text": ""}


def test_a_long_line_of_outcomes_is_wrapped() -> None:
    dropped = {f"too_{number}_something": number for number in range(12)}
    outcomes = RowOutcomes(base="find_shots", rows=70, kept=4, dropped=dropped, rejected={})
    lines = Funnel((), (outcomes,)).table().splitlines()[2:]
    assert len(lines) > 2
    assert max(map(len, lines)) <= 119
    assert " ".join(line.strip() for line in lines) == outcomes.line()
