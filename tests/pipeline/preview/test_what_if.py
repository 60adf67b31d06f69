"""Trying against what the run then does: every move that is not open comes true, and nothing is written."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import counting
import cutting
import mating
import pytest
import siding

from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.cli import main
from pipeline.errors import PipelineError
from pipeline.history.explain import life_of
from pipeline.history.find import Found
from pipeline.history.run_history import Past, read_past
from pipeline.preview.borderline import _compared
from pipeline.preview.what_if import Trial, try_out
from pipeline.recipes.request import RunRequest

RECIPE = cutting.__file__
NEVER = ("absent", "")


def run(store: Path, *words: str, recipe: str = RECIPE) -> None:
    assert main(["run", recipe, f"store={store}", "--inline", "--quiet", *words]) == 0


def tried(store: Path, **knobs: str) -> Trial:
    folder = FolderStore(store)
    before = {name: folder.read(name) for name in folder.walk()}
    trial = try_out(folder, RunRequest(RECIPE, knobs, str(store)))
    assert {name: folder.read(name) for name in folder.walk()} == before
    assert not list(store.rglob(".part-*"))
    return trial


def fates(past: Past, base: str) -> dict[str, tuple[str, str]]:
    """What became of every row, as `why` tells it."""
    found = {}
    for number in parts_of(past.store, past[base].folder):
        for row in read_part(past.store, f"{past[base].folder}/{part_name(number)}")["id"].to_pylist():
            events = life_of(past, Found(base, number, row), family=False).events
            gone = [(e.fate, e.step) for e in events if e.fate in ("dropped", "rejected")]
            found[row] = gone[0] if gone else ("kept", "")
    return found


def moves(before: dict[str, Any], after: dict[str, Any]) -> Counter[Any]:
    return Counter((before.get(row, NEVER), after.get(row, NEVER)) for row in {**before, **after})


@pytest.mark.parametrize("knobs", [{"most": "1"}, {"most": "5", "fewest": "5"}, {"fewest": "9"}])
def test_what_a_comparison_would_say_comes_true(knobs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, recipe=mating.__file__)
    before, store = read_past(FolderStore(tmp_path)), FolderStore(tmp_path)
    stood = {name: store.read(name) for name in store.walk()}
    trial = try_out(store, RunRequest(mating.__file__, knobs, str(tmp_path)))
    assert {name: store.read(name) for name in store.walk()} == stood
    run(tmp_path, *(f"{name}={value}" for name, value in knobs.items()), recipe=mating.__file__)
    after = read_past(FolderStore(tmp_path))
    (table,) = trial.tables
    assert table.moves == moves(fates(before, table.base), fates(after, table.base))
    assert bool(table.moved()) == (knobs != {"most": "5", "fewest": "5"})  # all have five


def test_a_comparison_of_rows_that_are_not_known_is_open(tmp_path: Path) -> None:
    run(tmp_path, "least=4", recipe=mating.__file__)
    trial = try_out(FolderStore(tmp_path), RunRequest(mating.__file__, {"least": "3"}, str(tmp_path)))
    opened = {fate for table in trial.tables for (_, fate) in table.moves}
    assert ("open", "split") in opened


@pytest.mark.parametrize(
    ("kind", "count", "asked"), [("mate", 9, False), ("quick_mate", 9, True), ("quick_mate", 20, False)]
)
def test_a_comparison_of_few_rows_is_asked(kind: str, count: int, asked: bool, tmp_path: Path) -> None:
    words = (f"kind={kind}", f"count={count}")
    run(tmp_path, *words, recipe=mating.__file__)
    before = read_past(FolderStore(tmp_path))
    trial = try_out(FolderStore(tmp_path), RunRequest(mating.__file__, {"most": "1"}, str(tmp_path)))
    run(tmp_path, *words, "most=1", recipe=mating.__file__)
    (table,) = trial.tables
    after = moves(fates(before, table.base), fates(read_past(FolderStore(tmp_path)), table.base))
    assert (table.moves == after) is asked
    opened = {two for _, two in table.moves if two[0] == "open"}
    assert opened == (set() if asked else {("open", "lonely")})


@pytest.mark.parametrize(
    "knobs",
    [
        {"heaviest": "60"},
        {"heaviest": "20", "least": "5"},
        {"length": "3"},
        {"length": "1.5", "least": "4"},
        {"least": "9"},
    ],
)
def test_what_is_said_comes_true(knobs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path)
    trial = tried(tmp_path, **knobs)
    before = read_past(FolderStore(tmp_path))
    run(tmp_path, *(f"{name}={value}" for name, value in knobs.items()))
    after = read_past(FolderStore(tmp_path))
    assert trial.run == before.run
    assert set(trial.knobs) == set(knobs)
    assert trial.tables
    for table in trial.tables:
        wanted = moves(fates(before, table.base), fates(after, table.base))
        said = Counter({pair: count for pair, count in table.moves.items() if pair[1][0] != "open"})
        assert said <= wanted
        opened = sum(count for pair, count in table.moves.items() if pair[1][0] == "open")
        assert said.total() + opened == wanted.total()
        assert opened == 0 or ("length" in knobs and table.base == "cut_number")


def test_a_survey_that_answers_all_hides_no_rule_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "first=1", recipe=siding.__file__)
    (table,) = try_out(
        FolderStore(tmp_path), RunRequest(siding.__file__, {"first": "4"}, str(tmp_path))
    ).tables
    assert table.moves == {
        (("dropped", "too_small"), ("dropped", "too_small")): 1,  # 0
        (("dropped", "too_light"), ("dropped", "too_small")): 2,
        (("kept", ""), ("dropped", "too_small")): 1,  # 3
        (("kept", ""), ("kept", "rank")): 6,
        (("rejected", "rank"), ("kept", "rank")): 2,  # 5 and 10: nobody can tell before it has run
    }
    assert dict(table.moved()).keys() == {*table.moves} - {
        (("dropped", "too_small"), ("dropped", "too_small")),
        (("kept", ""), ("kept", "rank")),
    }
    capsys.readouterr()
    assert main(["try", siding.__file__, f"store={tmp_path}", "first=4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "kept 7 8 2 1" in said
    assert "8 of those kept, if rank takes them" in said
    assert "rejected by rank 2 now kept, if rank takes it" in said


def test_a_lowered_threshold_opens_only_what_a_dear_step_has_never_seen(tmp_path: Path) -> None:
    run(tmp_path, "heaviest=30")
    (cut,) = tried(tmp_path, heaviest="60").tables
    assert cut.base == "cut_number"
    assert set(cut.sums(0)) >= {("rejected", "weigh"), ("rejected", "spell"), ("rejected", "too_heavy")}
    moved = dict(cut.moved())
    opened = moved.pop((("dropped", "too_heavy"), ("open", "spell")))
    assert opened > 0
    assert all(one == ("dropped", "too_heavy") for one, _ in moved)
    assert set(moved) <= {(("dropped", "too_heavy"), ("dropped", "unloved"))}


def test_the_border_shows_the_nearest_on_each_side(tmp_path: Path) -> None:
    run(tmp_path)
    (cut,) = tried(tmp_path, heaviest="60").tables
    (border,) = cut.borders
    assert (border.was, border.column, border.thresholds) == ("weight < 100.0", "weight", (60.0,))
    past = read_past(FolderStore(tmp_path))
    folder = past["weigh"].folder
    weights = [
        w
        for number in parts_of(past.store, folder)
        for w in read_part(past.store, f"{folder}/{part_name(number)}")["weight"].to_pylist()
        if w is not None
    ]
    kept = sorted(60 - w for w in weights if w < 60)[:3]
    dropped = sorted(w - 60 for w in weights if w >= 60)[:3]
    assert [e.away for e in border.kept] == kept
    assert [e.away for e in border.dropped] == dropped
    were = fates(past, "cut_number")
    for example in (*border.kept, *border.dropped):
        assert example.before == were[example.id]
        assert set(example.times) == {"start_s", "end_s"}
        assert example.times["end_s"] - example.times["start_s"] == 2.0  # type: ignore[operator]


def test_the_newest_run_over_the_same_rows_is_the_one_compared_with(tmp_path: Path) -> None:
    run(tmp_path, "heaviest=50")
    first = read_past(FolderStore(tmp_path)).run
    run(tmp_path, "count=12")
    run(tmp_path, recipe=counting.__file__)
    trial = tried(tmp_path, count="30", least="3")
    assert (trial.run, dict(trial.knobs)) == (first, {"least": (2.0, 3.0)})
    assert "n != 11" not in str(trial.tables[0].borders)
    with pytest.raises(PipelineError, match="no finished run of cutting"):
        tried(tmp_path, count="5")


def test_the_command_says_it_to_people_and_to_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    capsys.readouterr()
    words = ["try", RECIPE, f"store={tmp_path}", "heaviest=60", "--examples", "1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "heaviest=60.0 (was 100.0)" in said
    assert "too_heavy: keep weight < 60.0 (was weight < 100.0)" in said
    assert "now dropped by too_heavy" in said
    assert "to make it so, a run would do:" in said
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["knobs"] == {"heaviest": {"before": 100.0, "after": 60.0}}
    (table,) = found["tables"]
    assert sum(line["rows"] for line in table["before"]) == sum(line["rows"] for line in table["after"])
    assert len(table["borders"][0]["examples"]) == 2
    assert {step["step"] for step in found["steps"] if not step["whole"]} == {"too_heavy", "spell", "unloved"}
    assert main(["try", RECIPE, f"store={tmp_path}"]) == 0
    assert "no row would fare otherwise" in capsys.readouterr().out
    assert main(["try", RECIPE, f"store={tmp_path / 'none'}"]) == 1


@pytest.mark.parametrize(
    ("where", "column", "thresholds"),
    [
        ("a < 3", "a", (3.0,)),
        ("not (-2 <= a < 6.5)", "a", (-2.0, 6.5)),
        ("a < 3 and b > 2", "", ()),
        ("a / 2 < 3", "", ()),
        ("label == 'x'", "", ()),
        ("not duplicate", "", ()),
    ],
)
def test_thresholds_of_a_rule(where: str, column: str, thresholds: tuple[float, ...]) -> None:
    assert _compared(where) == (column, thresholds)
