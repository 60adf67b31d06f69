"""Tests of consecutive rules, which are evaluated together and write the same files as single rules."""

from pathlib import Path

import pytest
from toys import Numbers, Quiet, Square

from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan

RULES = ("small", "large", "odd")


def make_plan(store: Path) -> Plan:
    dag = Dag("d")
    rows = dag.read(Numbers(count=40), rows_per_part=8).annotate(Square(bad=5))
    rows = rows.keep("half >= 4", because="small").keep("square < 900", because="large")
    dag.save(rows.keep("n != 17", because="odd"), "x")
    return build_plan(dag, FolderStore(store), "r")


def run(store: Path) -> tuple[Plan, Schedule]:
    plan = make_plan(store)
    return plan, Inline().run(plan, Quiet())


def files(plan: Plan) -> dict[str, bytes]:
    names = (name for rule in RULES for name in plan.store.walk(plan[rule].folder))
    return {name: plan.store.read(name) for name in names}


def row_counts(schedule: Schedule) -> dict[str, RowCounts]:
    return {rule: schedule.steps[rule].row_counts for rule in RULES}


def test_a_rule_does_not_receive_rows_that_an_earlier_rule_dropped(tmp_path: Path) -> None:
    plan, schedule = run(tmp_path)
    found = row_counts(schedule)
    assert found["small"].rows_in == schedule.steps["square"].row_counts.passed
    assert found["large"].rows_in == found["small"].passed
    assert found["odd"].rows_in == found["large"].passed
    assert found["odd"].dropped == 1
    dropped = [
        row["id"]
        for rule in RULES
        for number in parts_of(plan.store, plan[rule].folder)
        for row in read_part(plan.store, f"{plan[rule].folder}/{part_name(number)}").to_pylist()
    ]
    assert len(dropped) == len(set(dropped)) == sum(b.dropped for b in found.values())


@pytest.mark.parametrize("rule", RULES)
def test_a_lost_part_of_a_rule_is_written_again_with_the_same_bytes(rule: str, tmp_path: Path) -> None:
    plan, schedule = run(tmp_path)
    whole, counts = files(plan), row_counts(schedule)
    plan.store.remove(f"{plan[rule].folder}/{part_name(2)}")
    repeated, second = run(tmp_path)
    assert files(repeated) == whole
    assert {name: b.rows_in for name, b in row_counts(second).items()} == {
        n: b.rows_in for n, b in counts.items()
    }


@pytest.mark.parametrize("size", [0, 40], ids=["empty", "half"])
def test_a_part_truncated_by_a_power_failure_is_written_again(size: int, tmp_path: Path) -> None:
    plan, _ = run(tmp_path)
    whole = files(plan)
    truncated = tmp_path / plan["large"].folder / part_name(3)
    content = truncated.read_bytes()
    (tmp_path / plan["large"].folder / "manifest.json").unlink()  # the table is not finalized
    truncated.chmod(0o644)
    truncated.write_bytes(content[:size])
    repeated, _ = run(tmp_path)
    assert files(repeated) == whole
    assert read_row_counts(repeated.store, f"{plan['large'].folder}/{part_name(3)}").is_balanced()
