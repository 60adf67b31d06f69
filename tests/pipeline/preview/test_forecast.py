"""Foresight against what the run then did: the figures of `plan` are those of the work."""

from pathlib import Path
from typing import Any

import pytest
from counting import Spell
from toys import Learn, Numbers, Quiet, Split, Square, Sum

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.inputs import input_ids
from pipeline.engine.task import Effort
from pipeline.executors.inline import Inline
from pipeline.planning.plan import plan_of
from pipeline.preview.forecast import Ahead, foresee


def numbers(
    count: int = 24, least: int = 4, most: int = 300, bad: int = 5, nameless: int = 0, length: int = 2
) -> Dag:
    """Two rules, the second on children, with a step behind it whose columns no rule reads."""
    dag = Dag("numbers")
    rows = dag.read(Numbers(count=count), rows_per_part=4)
    large = rows.annotate(Square(bad=bad)).keep(f"half >= {least}", because="too small")
    pieces = large.expand(Split(length=length)).keep(f"square < {most}", because="too large")
    named = pieces.annotate(Spell(bad=nameless))
    dag.save(named.survey(Sum()).launch(Learn()), "model")
    return dag


def foreseen_and_done(
    store: Path, first: dict[str, Any], then: dict[str, Any]
) -> tuple[dict[str, Ahead], Any]:
    folder = FolderStore(store)
    Inline().run(plan_of(numbers(**first), folder, "first"), Quiet())
    before = sorted(folder.walk())
    ahead = {a.step.name: a for a in foresee(plan_of(numbers(**then), folder, "look"))}
    assert sorted(folder.walk()) == before
    schedule = Inline().run(plan_of(numbers(**then), folder, "then"), Quiet())
    return ahead, schedule


@pytest.mark.parametrize(
    "then",
    [{}, {"least": 6}, {"most": 500, "least": 3}, {"nameless": 3}],
)
def test_a_changed_threshold_is_foreseen_exactly(then: dict[str, Any], tmp_path: Path) -> None:
    ahead, schedule = foreseen_and_done(tmp_path, {}, then)
    assert all(a.whole for a in ahead.values()) == (not then)
    for name, found in ahead.items():
        progress = schedule.steps[name]
        if found.whole:
            assert progress.effort == Effort()
        elif found.rows is not None and found.sure:
            assert (found.rows, found.reused) == (progress.row_counts.rows_in, progress.effort.reused), name
    if "nameless" in then:
        assert ahead["too_large"].whole
        assert (ahead["spell"].new, ahead["spell"].reused) == (schedule.steps["spell"].effort.worked, 0)


def test_a_raised_threshold_asks_no_dear_step_again(tmp_path: Path) -> None:
    ahead, schedule = foreseen_and_done(tmp_path, {}, {"most": 150})
    assert ahead["split"].whole
    assert ahead["too_large"].rows == schedule.steps["too_large"].row_counts.rows_in
    assert ahead["spell"].new == 0 == schedule.steps["spell"].effort.worked
    assert ahead["spell"].reused == schedule.steps["spell"].effort.reused > 0
    assert ahead["spell"].sure
    assert ahead["sum"].rows == schedule.steps["sum"].row_counts.rows_in


def test_a_lowered_threshold_asks_it_for_the_rows_never_seen(tmp_path: Path) -> None:
    ahead, schedule = foreseen_and_done(tmp_path, {"most": 150}, {"most": 300})
    assert ahead["spell"].new == schedule.steps["spell"].effort.worked > 0
    assert ahead["spell"].reused == schedule.steps["spell"].effort.reused > 0


def test_what_cannot_be_known_is_marked_so(tmp_path: Path) -> None:
    empty = {a.step.name: a for a in foresee(plan_of(numbers(), FolderStore(tmp_path / "none"), "look"))}
    assert {a.parts for name, a in empty.items() if name != "learn"} == {None}
    assert {a.rows for name, a in empty.items() if name != "numbers"} == {None}
    ahead, schedule = foreseen_and_done(tmp_path, {}, {"bad": 7})
    assert (ahead["square"].new, ahead["square"].sure) == (24, True)
    assert ahead["too_small"].rows == 24
    assert not ahead["too_small"].sure  # how many the changed step refuses is not known
    assert schedule.steps["too_small"].row_counts.rows_in < 24


def test_parts_that_stand_are_not_counted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    plan = plan_of(numbers(most=10_000), store, "first")
    Inline().run(plan, Quiet())
    folder = plan["spell"].folder
    for name in ("manifest.json", "part-000005.parquet"):
        store.remove(f"{folder}/{name}")
    (found,) = (a for a in foresee(plan) if not a.whole)
    assert (found.step.name, found.standing, found.parts) == ("spell", 5, 6)
    assert found.rows == len(input_ids(plan, plan["spell"], 5)) > 0
