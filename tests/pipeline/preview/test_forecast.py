"""The forecast against the run that follows: the numbers of `plan` are those of the work."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from counting import Spell
from toys import Learn, N, Numbers, Quiet, Split, Square, Squared, Sum

from manifests.stores.folder import FolderStore
from manifests.table import read_row_counts
from pipeline import Dag, Reject
from pipeline.engine.inputs import input_ids
from pipeline.engine.task import WorkCounts
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from pipeline.preview.forecast import StepForecast, forecast


def numbers(
    count: int = 24, min_half: int = 4, max_square: int = 300, bad: int = 5, unnamed: int = 0, length: int = 2
) -> Dag:
    """Two rules, the second on children, with a step behind it whose columns no rule reads."""
    dag = Dag("numbers")
    rows = dag.read(Numbers(count=count), rows_per_part=4)
    large = rows.annotate(Square(bad=bad)).keep(f"half >= {min_half}", because="too small")
    pieces = large.expand(Split(length=length)).keep(f"square < {max_square}", because="too large")
    named = pieces.annotate(Spell(bad=unnamed))
    dag.save(named.survey(Sum()).launch(Learn()), "model")
    return dag


def forecast_and_run(
    store: Path, first: dict[str, Any], then: dict[str, Any]
) -> tuple[dict[str, StepForecast], Any]:
    folder = FolderStore(store)
    Inline().run(build_plan(numbers(**first), folder, "first"), Quiet())
    before = sorted(folder.walk())
    steps = {a.step.name: a for a in forecast(build_plan(numbers(**then), folder, "look"))}
    assert sorted(folder.walk()) == before
    schedule = Inline().run(build_plan(numbers(**then), folder, "then"), Quiet())
    return steps, schedule


@pytest.mark.parametrize(
    "then",
    [{}, {"min_half": 6}, {"max_square": 500, "min_half": 3}, {"unnamed": 3}],
)
def test_the_forecast_of_a_changed_threshold_is_exact(then: dict[str, Any], tmp_path: Path) -> None:
    steps, schedule = forecast_and_run(tmp_path, {}, then)
    assert all(a.complete for a in steps.values()) == (not then)
    for name, found in steps.items():
        progress = schedule.steps[name]
        if found.complete:
            assert progress.work == WorkCounts()
        elif found.rows is not None and found.is_exact:
            assert (found.rows, found.reused) == (progress.row_counts.rows_in, progress.work.reused), name
    if "unnamed" in then:
        assert steps["too_large"].complete
        assert (steps["spell"].new, steps["spell"].reused) == (schedule.steps["spell"].work.processed, 0)


def test_a_raised_threshold_runs_no_expensive_step_again(tmp_path: Path) -> None:
    steps, schedule = forecast_and_run(tmp_path, {}, {"max_square": 150})
    assert steps["split"].complete
    assert steps["too_large"].rows == schedule.steps["too_large"].row_counts.rows_in
    assert steps["spell"].new == 0 == schedule.steps["spell"].work.processed
    assert steps["spell"].reused == schedule.steps["spell"].work.reused > 0
    assert steps["spell"].is_exact
    assert steps["sum"].rows == schedule.steps["sum"].row_counts.rows_in


def test_a_lowered_threshold_runs_it_only_on_new_rows(tmp_path: Path) -> None:
    steps, schedule = forecast_and_run(tmp_path, {"max_square": 150}, {"max_square": 300})
    assert steps["spell"].new == schedule.steps["spell"].work.processed > 0
    assert steps["spell"].reused == schedule.steps["spell"].work.reused > 0


def test_unknown_numbers_are_marked(tmp_path: Path) -> None:
    empty = {a.step.name: a for a in forecast(build_plan(numbers(), FolderStore(tmp_path / "none"), "look"))}
    assert {a.parts for name, a in empty.items() if name != "learn"} == {6}  # the source is listed
    assert (empty["numbers"].rows, empty["square"].new, empty["square"].is_exact) == (24, 24, True)
    assert (empty["too_small"].rows, empty["too_small"].is_exact) == (24, False)
    assert {empty[name].rows for name in ("too_large", "spell", "sum", "learn")} == {None}
    steps, schedule = forecast_and_run(tmp_path, {}, {"bad": 7})
    assert (steps["square"].new, steps["square"].is_exact) == (24, True)
    assert steps["too_small"].rows == 24
    assert not steps["too_small"].is_exact  # it is unknown how many rows the changed step rejects
    assert schedule.steps["too_small"].row_counts.rows_in < 24


@pytest.mark.parametrize(
    ("first", "then", "step", "next_step"),
    [
        ({}, {"count": 20}, "square", "too_small"),  # another source: rows are in any part
        ({"unnamed": 3}, {"unnamed": 3, "max_square": 150}, "spell", "sum"),
    ],
)
def test_rows_that_were_rejected_earlier_are_not_expected_to_pass(
    first: dict[str, Any], then: dict[str, Any], step: str, next_step: str, tmp_path: Path
) -> None:
    steps, schedule = forecast_and_run(tmp_path, first, then)
    progress = schedule.steps[step]
    assert progress.row_counts.rejected > 0
    assert steps[step].new == progress.work.processed == progress.row_counts.rejected
    assert (steps[next_step].rows, steps[next_step].is_exact) == (progress.row_counts.passed, True)


def test_rows_on_which_a_stage_failed_may_pass(tmp_path: Path) -> None:
    def squares(count: int) -> Dag:
        dag = Dag("squares")
        rows = dag.read(Numbers(count=count), rows_per_part=4).annotate(Square(bad=5, fail_on=3))
        dag.save(rows.keep("half >= 0", because="negative"), "kept")
        return dag

    store = FolderStore(tmp_path)
    Inline().run(build_plan(squares(8), store, "first"), Quiet())
    steps = {a.step.name: a for a in forecast(build_plan(squares(7), store, "look"))}
    assert (steps["square"].new, steps["negative"].rows) == (3, 5)  # 0 and 5 were rejected, 3 failed
    assert not steps["negative"].is_exact


@pytest.mark.parametrize(
    "step", ["numbers", "square", "too_small", "split", "too_large", "spell", "sum", "learn"]
)
def test_a_missing_part_of_a_complete_table_is_planned_and_made_again(step: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    plan = build_plan(numbers(), store, "first")
    Inline().run(plan, Quiet())
    store.remove(f"{plan[step].folder}/part-000000.parquet")
    planned = {a.step.name: a for a in forecast(plan)}
    assert [name for name, found in planned.items() if not found.complete] == [step]
    assert Inline().run(plan, Quiet()).is_finished
    if step != "numbers":
        made = read_row_counts(store, f"{plan[step].folder}/part-000000.parquet")
        assert planned[step].rows == made.rows_in


def test_an_incomplete_part_of_a_rule_is_planned_and_stays_in_place(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    plan = build_plan(numbers(), store, "first")
    Inline().run(plan, Quiet())
    folder = plan["too_small"].folder
    store.remove(f"{folder}/manifest.json")
    store.replace(f"{folder}/part-000001.parquet", b"cut short by a power failure")
    planned = {a.step.name: a for a in forecast(plan)}["too_small"]
    assert (planned.complete, planned.existing_parts, planned.rows) == (False, 5, 3)
    assert store.exists(f"{folder}/part-000001.parquet")
    assert Inline().run(plan, Quiet()).is_finished


def test_rows_that_a_stopped_run_has_finished_are_not_planned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate = Square.annotate

    def interrupted(self: Square, rows: Sequence[N]) -> Iterator[Squared | Reject]:
        if any(row.n == 10 for row in rows):
            raise KeyboardInterrupt
        return annotate(self, rows)

    store = FolderStore(tmp_path)
    monkeypatch.setattr(Square, "annotate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Inline().run(build_plan(numbers(), store, "first"), Quiet())
    monkeypatch.undo()
    before = sorted(store.walk())
    square = {a.step.name: a for a in forecast(build_plan(numbers(), store, "look"))}["square"]
    assert sorted(store.walk()) == before
    work = Inline().run(build_plan(numbers(), store, "then"), Quiet()).steps["square"].work
    assert (square.new, square.resumed) == (work.processed, work.resumed)
    assert square.resumed == 2  # the rows before 10 in its part


def test_existing_parts_are_not_counted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    plan = build_plan(numbers(max_square=10_000), store, "first")
    Inline().run(plan, Quiet())
    folder = plan["spell"].folder
    for name in ("manifest.json", "part-000005.parquet"):
        store.remove(f"{folder}/{name}")
    (found,) = (a for a in forecast(plan) if not a.complete)
    assert (found.step.name, found.existing_parts, found.parts) == ("spell", 5, 6)
    assert found.rows == len(input_ids(plan, plan["spell"], 5)) > 0
