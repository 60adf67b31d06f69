"""What-if analysis against the run that follows: every known transition comes true; nothing is written."""

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
from pipeline.history.explain import row_history
from pipeline.history.find import RowLocation
from pipeline.history.run_history import RunHistory, read_history
from pipeline.preview.borderline import parse_thresholds
from pipeline.preview.what_if import WhatIf, what_if
from pipeline.recipes.request import RunRequest

RECIPE = cutting.__file__
NEVER = ("absent", "")


def run(store: Path, *words: str, recipe: str = RECIPE) -> None:
    assert main(["run", recipe, f"store={store}", "--inline", "--quiet", *words]) == 0


def analyze(store: Path, **knobs: str) -> WhatIf:
    folder = FolderStore(store)
    before = {name: folder.read(name) for name in folder.walk()}
    result = what_if(folder, RunRequest(RECIPE, knobs, str(store)))
    assert {name: folder.read(name) for name in folder.walk()} == before
    assert not list(store.rglob(".part-*"))
    return result


def outcomes(history: RunHistory, base: str) -> dict[str, tuple[str, str]]:
    """The outcome of every row, as `clipmill explain` prints it."""
    found = {}
    for number in parts_of(history.store, history[base].folder):
        for row in read_part(history.store, f"{history[base].folder}/{part_name(number)}")["id"].to_pylist():
            events = row_history(history, RowLocation(base, number, row), relatives=False).events
            removed = [(e.outcome, e.step) for e in events if e.outcome in ("dropped", "rejected")]
            found[row] = removed[0] if removed else ("kept", "")
    return found


def transitions(before: dict[str, Any], after: dict[str, Any]) -> Counter[Any]:
    return Counter((before.get(row, NEVER), after.get(row, NEVER)) for row in {**before, **after})


@pytest.mark.parametrize(
    "knobs", [{"max_mates": "1"}, {"max_mates": "5", "min_mates": "5"}, {"min_mates": "9"}]
)
def test_the_predicted_result_of_a_comparison_comes_true(knobs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, recipe=mating.__file__)
    before, store = read_history(FolderStore(tmp_path)), FolderStore(tmp_path)
    existing = {name: store.read(name) for name in store.walk()}
    result = what_if(store, RunRequest(mating.__file__, knobs, str(tmp_path)))
    assert {name: store.read(name) for name in store.walk()} == existing
    run(tmp_path, *(f"{name}={value}" for name, value in knobs.items()), recipe=mating.__file__)
    after = read_history(FolderStore(tmp_path))
    (table,) = result.tables
    assert table.transitions == transitions(outcomes(before, table.base), outcomes(after, table.base))
    assert bool(table.changes()) == (knobs != {"max_mates": "5", "min_mates": "5"})  # all have five


def test_a_comparison_of_unknown_rows_is_unknown(tmp_path: Path) -> None:
    run(tmp_path, "min_half=4", recipe=mating.__file__)
    result = what_if(FolderStore(tmp_path), RunRequest(mating.__file__, {"min_half": "3"}, str(tmp_path)))
    after = {outcome for table in result.tables for (_, outcome) in table.transitions}
    assert ("unknown", "split") in after


@pytest.mark.parametrize(
    ("kind", "count", "is_run"), [("mate", 9, False), ("quick_mate", 9, True), ("quick_mate", 20, False)]
)
def test_a_comparison_of_few_rows_is_run(kind: str, count: int, is_run: bool, tmp_path: Path) -> None:
    words = (f"kind={kind}", f"count={count}")
    run(tmp_path, *words, recipe=mating.__file__)
    before = read_history(FolderStore(tmp_path))
    result = what_if(FolderStore(tmp_path), RunRequest(mating.__file__, {"max_mates": "1"}, str(tmp_path)))
    run(tmp_path, *words, "max_mates=1", recipe=mating.__file__)
    (table,) = result.tables
    after = transitions(
        outcomes(before, table.base), outcomes(read_history(FolderStore(tmp_path)), table.base)
    )
    assert (table.transitions == after) is is_run
    unknown = {two for _, two in table.transitions if two[0] == "unknown"}
    assert unknown == (set() if is_run else {("unknown", "lonely")})


@pytest.mark.parametrize(
    "knobs",
    [
        {"max_weight": "60"},
        {"max_weight": "20", "min_half": "5"},
        {"length": "3"},
        {"length": "1.5", "min_half": "4"},
        {"min_half": "9"},
    ],
)
def test_predicted_transitions_come_true(knobs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path)
    result = analyze(tmp_path, **knobs)
    before = read_history(FolderStore(tmp_path))
    run(tmp_path, *(f"{name}={value}" for name, value in knobs.items()))
    after = read_history(FolderStore(tmp_path))
    assert result.run == before.run
    assert set(result.knobs) == set(knobs)
    assert result.tables
    for table in result.tables:
        expected = transitions(outcomes(before, table.base), outcomes(after, table.base))
        known = Counter({pair: n for pair, n in table.transitions.items() if pair[1][0] != "unknown"})
        assert known <= expected
        unknown = sum(n for pair, n in table.transitions.items() if pair[1][0] == "unknown")
        assert known.total() + unknown == expected.total()
        assert unknown == 0 or ("length" in knobs and table.base == "cut_number")


def test_a_survey_that_never_rejects_hides_no_rule_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "first=1", recipe=siding.__file__)
    (table,) = what_if(
        FolderStore(tmp_path), RunRequest(siding.__file__, {"first": "4"}, str(tmp_path))
    ).tables
    assert table.transitions == {
        (("dropped", "too_small"), ("dropped", "too_small")): 1,  # 0
        (("dropped", "too_light"), ("dropped", "too_small")): 2,
        (("kept", ""), ("dropped", "too_small")): 1,  # 3
        (("kept", ""), ("kept", "rank")): 6,
        (("rejected", "rank"), ("kept", "rank")): 2,  # 5 and 10: unknown before it has run
    }
    assert dict(table.changes()).keys() == {*table.transitions} - {
        (("dropped", "too_small"), ("dropped", "too_small")),
        (("kept", ""), ("kept", "rank")),
    }
    capsys.readouterr()
    assert main(["try", siding.__file__, f"store={tmp_path}", "first=4"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "kept 7 8 2 1" in output
    assert "8 of the kept rows still have to pass rank" in output
    assert "rejected by rank 2 now kept, if rank accepts it" in output


def test_a_lowered_threshold_leaves_only_rows_new_to_an_expensive_step_unknown(tmp_path: Path) -> None:
    run(tmp_path, "max_weight=30")
    (cut,) = analyze(tmp_path, max_weight="60").tables
    assert cut.base == "cut_number"
    assert set(cut.outcome_counts(0)) >= {
        ("rejected", "weigh"),
        ("rejected", "spell"),
        ("rejected", "too_heavy"),
    }
    changes = dict(cut.changes())
    unknown = changes.pop((("dropped", "too_heavy"), ("unknown", "spell")))
    assert unknown > 0
    assert all(one == ("dropped", "too_heavy") for one, _ in changes)
    assert set(changes) <= {(("dropped", "too_heavy"), ("dropped", "unloved"))}


def test_the_borderline_shows_the_nearest_rows_on_each_side(tmp_path: Path) -> None:
    run(tmp_path)
    (cut,) = analyze(tmp_path, max_weight="60").tables
    (borderline,) = cut.borderlines
    assert (borderline.previous, borderline.column, borderline.thresholds) == (
        "weight < 100.0",
        "weight",
        (60.0,),
    )
    history = read_history(FolderStore(tmp_path))
    folder = history["weigh"].folder
    weights = [
        w
        for number in parts_of(history.store, folder)
        for w in read_part(history.store, f"{folder}/{part_name(number)}")["weight"].to_pylist()
        if w is not None
    ]
    kept = sorted(60 - w for w in weights if w < 60)[:3]
    dropped = sorted(w - 60 for w in weights if w >= 60)[:3]
    assert [e.distance for e in borderline.kept] == kept
    assert [e.distance for e in borderline.dropped] == dropped
    old = outcomes(history, "cut_number")
    for example in (*borderline.kept, *borderline.dropped):
        assert example.before == old[example.id]
        assert set(example.times) == {"start_s", "end_s"}
        assert example.times["end_s"] - example.times["start_s"] == 2.0  # type: ignore[operator]


def test_the_newest_run_over_the_same_rows_is_used(tmp_path: Path) -> None:
    run(tmp_path, "max_weight=50")
    first = read_history(FolderStore(tmp_path)).run
    run(tmp_path, "count=12")
    run(tmp_path, recipe=counting.__file__)
    result = analyze(tmp_path, count="30", min_half="3")
    assert (result.run, dict(result.knobs)) == (first, {"min_half": (2.0, 3.0)})
    assert "n != 11" not in str(result.tables[0].borderlines)
    with pytest.raises(PipelineError, match="list other source rows than cutting"):
        analyze(tmp_path, count="5")


LISTING = """
from pipeline import Dag
from stages.ingest.list_videos import ListVideos


def listing(footage: str, min_bytes: int = 3) -> Dag:
    dag = Dag("listing")
    videos = dag.read(ListVideos(root=footage))
    dag.save(videos.keep(f"size_bytes >= {min_bytes}", because="small"), "videos")
    return dag
"""


def test_an_edited_yaml_recipe_is_compared_with_the_run_of_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, edited, store = tmp_path / "listing.py", tmp_path / "edited.yaml", tmp_path / "store"
    recipe.write_text(LISTING)
    (tmp_path / "films").mkdir()
    for size in range(1, 6):
        (tmp_path / "films" / f"{size}.mp4").write_bytes(b"x" * size)

    def tried(path: Path, **knobs: str) -> WhatIf:
        return what_if(FolderStore(store), RunRequest(str(path), knobs, str(store)))

    run(store, f"footage={tmp_path / 'films'}", recipe=str(recipe))
    first = read_history(FolderStore(store)).run
    assert main(["yaml", str(recipe), f"footage={tmp_path / 'films'}"]) == 0
    text = capsys.readouterr().out
    edited.write_text(text.replace("size_bytes >= 3", "size_bytes >= 5"))
    assert tried(edited).run == first
    assert [t.transitions for t in tried(edited).tables] == [
        t.transitions for t in tried(recipe, min_bytes="5").tables
    ]
    run(store, recipe=str(edited))
    second = read_history(FolderStore(store)).run
    assert tried(edited).run == second
    assert tried(recipe).run == first, "a run of the same file comes before a newer one of the same DAG"
    edited.rename(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(text.replace("dag: listing", "dag: mine"))
    assert tried(tmp_path / "mine.yaml").run == second, "of recipes with other names, the newest run"
    (tmp_path / "films" / "6.mp4").write_bytes(b"x" * 6)
    with pytest.raises(PipelineError, match="list other source rows than mine"):
        tried(tmp_path / "mine.yaml")


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_without_a_run_there_is_nothing_to_compare(folder: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no recipe was run in this store yet, or there is no store"):
        analyze(tmp_path / folder)


def test_the_command_prints_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    capsys.readouterr()
    words = ["try", RECIPE, f"store={tmp_path}", "max_weight=60", "--examples", "1"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert "max_weight=60.0 (was 100.0)" in output
    assert "too_heavy: keep weight < 60.0 (was weight < 100.0)" in output
    assert "now dropped by too_heavy" in output
    assert "a run with these knobs would do:" in output
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["knobs"] == {"max_weight": {"before": 100.0, "after": 60.0}}
    (table,) = found["tables"]
    assert sum(line["rows"] for line in table["before"]) == sum(line["rows"] for line in table["after"])
    assert len(table["borderlines"][0]["examples"]) == 2
    assert {step["step"] for step in found["steps"] if not step["complete"]} == {
        "too_heavy",
        "spell",
        "unloved",
    }
    assert main(["try", RECIPE, f"store={tmp_path}"]) == 0
    assert "no row would change" in capsys.readouterr().out
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
    assert parse_thresholds(where) == (column, thresholds)
