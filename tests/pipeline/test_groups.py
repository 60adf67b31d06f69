"""Tests of rules and stages that process the rows of a group together."""

from collections import Counter
from pathlib import Path

import grouping
import pytest
from toys import Numbers, Quiet

from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Dag
from pipeline.dag import Rows
from pipeline.engine.replay import replay
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.history.explain import RowEvent, row_history
from pipeline.history.find import RowLocation
from pipeline.history.funnel import describe_origin
from pipeline.history.run_history import RunHistory, read_history
from pipeline.planning.keys import compute_keys
from pipeline.preview.what_if import what_if
from pipeline.recipes.request import RunRequest
from pipeline.recipes.yaml_text import from_yaml, to_yaml
from pipeline.run import run_dag

RECIPE = grouping.__file__
Lenses = dict[tuple[int, int], RowEvent]


def run(store: Path, **knobs: object) -> RunHistory:
    request = RunRequest(RECIPE, {name: str(value) for name, value in knobs.items()}, str(store))
    dag = grouping.grouping(**knobs)  # type: ignore[arg-type]
    run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request)
    return read_history(FolderStore(store))


def locations(history: RunHistory) -> dict[tuple[int, int], RowLocation]:
    """The location of each lens of each number."""
    step = history["look_through"]
    return {
        (int(row["take"]), row["lens"]): RowLocation(step.name, number, row["id"])
        for number in parts_of(history.store, step.folder)
        for row in read_part(history.store, f"{step.folder}/{part_name(number)}").to_pylist()
    }


def last_events(history: RunHistory) -> Lenses:
    """What the last step did that each lens of each number entered."""
    return {
        key: row_history(history, location, relatives=False).events[-1]
        for key, location in locations(history).items()
    }


def outcomes(history: RunHistory) -> Counter[tuple[str, str]]:
    return Counter((event.step, event.outcome) for event in last_events(history).values())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    return run(tmp_path_factory.mktemp("store"))


def test_one_lens_that_fails_drops_its_group_and_explain_names_it(history: RunHistory) -> None:
    events, at = last_events(history), locations(history)
    assert [events[4, lens].outcome for lens in range(3)] == ["dropped"] * 3  # light 40, 41, 42
    assert events[4, 2].reason == "bright (light=42; the rule keeps light < 42 in all rows of a take)"
    assert events[4, 0].reason == (
        f"bright (light=40; with {at[4, 2].id}: light=42; the rule keeps light < 42 in all rows of a take)"
    )


def test_a_missing_value_of_one_lens_rejects_its_group(history: RunHistory) -> None:
    events, at = last_events(history), locations(history)
    assert {events[3, lens].outcome for lens in range(3)} == {"rejected"}
    assert events[3, 1].reason == "light missing: 'light < 42' cannot be evaluated"
    assert events[3, 0].reason == f"light missing in row {at[3, 1].id}: 'light < 42' cannot be evaluated"


def test_a_stage_receives_the_rows_of_a_group_together(history: RunHistory) -> None:
    events = last_events(history)
    assert {events[2, lens].values["highest_light"] for lens in range(3)} == {(22.0, "1")}
    assert outcomes(history)["compare_lenses", "kept"] == 9  # numbers 0, 1 and 2


@pytest.mark.parametrize(("when", "rows"), [("any", "at least one row"), ("all", "each row")])
def test_the_history_of_a_kept_row_says_for_which_rows_its_rule_is_true(
    when: str, rows: str, tmp_path: Path
) -> None:
    history = run(tmp_path, when=when, max_light=41.5)  # light 40, 41 and 42 of number 4
    number = 4 if when == "any" else 2
    events = row_history(history, locations(history)[number, 2], relatives=False).events
    (reason,) = [event.reason for event in events if event.step == "bright"]
    assert reason == f"light < 41.5 is true for {rows} of its take"
    lenses = "any row" if when == "any" else "all rows"
    assert describe_origin(history["bright"].made_by) == f"bright: keep light < 41.5 in {lenses} of a take"


def test_any_lens_that_passes_keeps_its_group(tmp_path: Path) -> None:
    events = last_events(run(tmp_path, when="any"))
    assert {events[4, lens].outcome for lens in range(3)} == {"kept"}
    assert {events[3, lens].outcome for lens in range(3)} == {"kept"}  # a lens passes whatever is missing
    assert {events[5, lens].outcome for lens in range(3)} == {"dropped"}


def test_a_group_is_incomplete_if_a_rule_dropped_one_row_alone(tmp_path: Path) -> None:
    events = last_events(run(tmp_path, dark_lens=1))
    assert events[1, 1].step == "dark"
    assert (events[1, 0].outcome, events[1, 0].reason) == ("rejected", "only 2 lenses")
    assert events[2, 0].outcome == "kept"


def test_an_exception_rejects_the_whole_group_and_no_other(tmp_path: Path) -> None:
    events = last_events(run(tmp_path, fail_on=1))
    assert [key for key, e in events.items() if "this number fails" in e.reason] == [(1, i) for i in range(3)]
    assert events[2, 0].outcome == "kept"


def test_the_size_of_a_part_changes_nothing(history: RunHistory, tmp_path: Path) -> None:
    other = last_events(run(tmp_path, size=8))
    assert {k: (e.outcome, e.reason) for k, e in other.items() if e.step != "look_through"} == {
        k: (e.outcome, e.reason) for k, e in last_events(history).items()
    }


@pytest.mark.parametrize("knobs", [{"max_light": "52"}, {"when": "any"}, {"dark_lens": "1"}])
def test_a_forecast_comes_true(knobs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path)
    forecast = what_if(FolderStore(tmp_path), RunRequest(RECIPE, knobs, str(tmp_path)))
    (changes,) = [each for each in forecast.tables if each.base == "look_through"]
    predicted: Counter[tuple[str, str]] = Counter()
    for (_, (outcome, step)), count in changes.transitions.items():
        predicted[step or "compare_lenses", outcome] += count
    values = {name: float(value) if name == "max_light" else value for name, value in knobs.items()}
    values |= {"dark_lens": int(knobs["dark_lens"])} if "dark_lens" in knobs else {}
    assert +predicted == outcomes(run(tmp_path, **values))


@pytest.mark.parametrize("step", ["bright", "compare_lenses"])
def test_a_replay_of_one_row_sees_its_group(step: str, history: RunHistory) -> None:
    dag, at = grouping.grouping(), locations(history)
    key = (4, 0) if step == "bright" else (2, 0)
    result = replay(history, dag, step, at[key].id)
    assert result.is_equal
    assert result.reason == ("bright" if step == "bright" else "")


def test_a_rule_across_rows_is_written_to_yaml_and_read_again() -> None:
    dag = grouping.grouping(when="any")
    again = from_yaml(to_yaml(dag), packages=("grouping", "toys"))
    assert compute_keys(again) == compute_keys(dag)
    assert compute_keys(again)["bright"] != compute_keys(grouping.grouping())["bright"]


def lenses() -> Rows:
    return Dag("d").read(Numbers()).expand(grouping.LookThrough())


def test_rows_that_may_be_in_different_parts_form_no_group() -> None:
    with pytest.raises(PlanError, match=r"cannot group rows by 'light'.*different parts"):
        lenses().keep("light > 1", because="x", across="light")
    assert lenses().keep("light > 1", because="x", across="parent")


def test_a_rule_is_for_all_or_any_rows() -> None:
    with pytest.raises(PlanError, match="is 'most'"):
        lenses().keep("light > 1", because="x", across="take", when="most")
