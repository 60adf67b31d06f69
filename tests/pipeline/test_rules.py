"""Rules in a row decide about a part in one go, with the files of rules that decide one by one."""

from pathlib import Path

import pytest
from toys import Numbers, Quiet, Square

from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, plan_of

RULES = ("small", "large", "odd")


def planned(store: Path) -> Plan:
    dag = Dag("d")
    rows = dag.read(Numbers(count=40), rows_per_part=8).annotate(Square(bad=5))
    rows = rows.keep("half >= 4", because="small").keep("square < 900", because="large")
    dag.save(rows.keep("n != 17", because="odd"), "x")
    return plan_of(dag, FolderStore(store), "r")


def run(store: Path) -> tuple[Plan, Schedule]:
    plan = planned(store)
    return plan, Inline().run(plan, Quiet())


def files(plan: Plan) -> dict[str, bytes]:
    names = (name for rule in RULES for name in plan.store.walk(plan[rule].folder))
    return {name: plan.store.read(name) for name in names}


def row_counts(schedule: Schedule) -> dict[str, RowCounts]:
    return {rule: schedule.steps[rule].row_counts for rule in RULES}


def test_what_one_rule_dropped_the_next_never_sees(tmp_path: Path) -> None:
    plan, schedule = run(tmp_path)
    found = row_counts(schedule)
    assert found["small"].rows_in == schedule.steps["square"].row_counts.passed
    assert found["large"].rows_in == found["small"].passed
    assert found["odd"].rows_in == found["large"].passed
    assert found["odd"].dropped == 1
    gone = [
        row["id"]
        for rule in RULES
        for number in parts_of(plan.store, plan[rule].folder)
        for row in read_part(plan.store, f"{plan[rule].folder}/{part_name(number)}").to_pylist()
    ]
    assert len(gone) == len(set(gone)) == sum(b.dropped for b in found.values())


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_whose_part_was_lost_decides_again_with_the_same_bytes(rule: str, tmp_path: Path) -> None:
    plan, schedule = run(tmp_path)
    whole, told = files(plan), row_counts(schedule)
    plan.store.remove(f"{plan[rule].folder}/{part_name(2)}")
    again, second = run(tmp_path)
    assert files(again) == whole
    assert {name: b.rows_in for name, b in row_counts(second).items()} == {
        n: b.rows_in for n, b in told.items()
    }


@pytest.mark.parametrize("left", [0, 40], ids=["empty", "half"])
def test_a_part_that_a_power_cut_left_bare_is_decided_again(left: int, tmp_path: Path) -> None:
    plan, _ = run(tmp_path)
    whole = files(plan)
    bare = tmp_path / plan["large"].folder / part_name(3)
    kept = bare.read_bytes()
    (tmp_path / plan["large"].folder / "manifest.json").unlink()  # not closed: nothing was settled
    bare.chmod(0o644)
    bare.write_bytes(kept[:left])
    again, _ = run(tmp_path)
    assert files(again) == whole
    assert read_row_counts(again.store, f"{plan['large'].folder}/{part_name(3)}").balance()
