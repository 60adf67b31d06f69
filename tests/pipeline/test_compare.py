"""Tests of Compare stages: a row is in several groups, and its findings reach its part."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from toys import Mate, Numbers, Quiet, Split, Square

from manifests.catalog import tables_of
from manifests.errors import Damaged
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from manifests.verbs.validation import check
from pipeline import Dag
from pipeline.engine.replay import replay
from pipeline.engine.steps.groups.bundle import names_in_bundle, read_bundle, write_bundle
from pipeline.errors import StageFailed
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.planning.plan import Plan, build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag


def mated_dag(stage: Mate, per_part: int = 3, count: int = 12) -> Dag:
    dag = Dag("mated")
    pieces = dag.read(Numbers(count=count), rows_per_part=per_part).annotate(Square()).expand(Split())
    dag.save(pieces.survey(stage), "pieces")
    return dag


def run(store: Path, stage: Mate, **options: int) -> tuple[Plan, dict[str, dict[str, object]]]:
    """Return the plan, and the rows of the last step by id."""
    plan = build_plan(mated_dag(stage, **options), FolderStore(store), "r")
    assert Inline().run(plan, Quiet()).is_finished
    name = plan.outputs["pieces"][0]
    parts = (
        read_part(plan.store, f"{plan[name].folder}/{part_name(n)}")
        for n in parts_of(plan.store, plan[name].folder)
    )
    return plan, {row["id"]: row for part in parts for row in part.to_pylist()}


def test_findings_of_all_groups_reach_their_rows(tmp_path: Path) -> None:
    plan, rows = run(tmp_path, Mate())
    squares = {n * n for n in range(12) if n % 4}
    pieces = {
        row["id"]: row["parent"]
        for n in parts_of(plan.store, plan["split"].folder)
        for row in read_part(plan.store, f"{plan['split'].folder}/{part_name(n)}").to_pylist()
    }
    assert set(rows) == set(pieces)
    seen = set()
    for row in rows.values():
        mates = row["mates"]
        assert isinstance(mates, list)
        seen.add(tuple(mates))
        (own,) = [s for s in squares if {o for o in squares if o != s and _are_mates(o, s)} == set(mates)]
        assert own
        assert row["first"] is False
    assert len(seen) == len(squares)


def _are_mates(one: int, other: int) -> bool:
    return one % 2 == other % 2 or one % 3 == other % 3


def test_the_result_does_not_depend_on_parts(tmp_path: Path) -> None:
    _, expected = run(tmp_path / "one", Mate())
    assert run(tmp_path / "other", Mate(), per_part=5)[1] == expected


def test_a_finished_comparison_leaves_a_valid_table_and_no_temporary_files(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, Mate())
    folder = plan[plan.outputs["pieces"][0]].folder
    assert plan.store.names(f"{folder}/members") == []
    settled = plan.store.names(f"{folder}/settled")
    assert settled
    assert all(name.startswith("batch-") for name in settled)
    found = check(plan.store, tables_of(plan.store))
    assert not found.faults
    assert plan.store.read(f"{folder}/fitted.bin") == b"3 18"


def test_no_rows_give_no_groups(tmp_path: Path) -> None:
    assert run(tmp_path, Mate(), count=1)[1] == {}


def test_replay_of_a_row_uses_all_of_its_groups(tmp_path: Path) -> None:
    dag, request = mated_dag(Mate()), RunRequest("mated.py", {}, str(tmp_path))
    run_dag(dag, str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
    _, rows = run(tmp_path, Mate())
    history = read_history(FolderStore(tmp_path))
    for row in sorted(rows)[:3]:
        assert replay(history, mated_dag(Mate()), "mate", row).is_equal
    assert not replay(history, mated_dag(Mate(max_mates=1)), "mate", sorted(rows)[0]).is_equal


class UnknownRow(Mate):
    """Returns a finding about a row that is not in its input."""

    def settle(self, group: str, members: pa.Table, fitted: bytes) -> pa.Table:
        return pa.table({"id": ["stranger"], "mate": [1]})


class InvalidName(Mate):
    """Returns a group name that is not a valid file name."""

    def assign(self, rows: pa.Table, fitted: bytes) -> pa.Table:
        members = super().assign(rows, fitted)
        return members.set_column(
            members.column_names.index("group"), "group", pa.array(["a/b"] * len(members))
        )


class MissingRow(Mate):
    """Leaves a row out."""

    def conclude(self, rows: pa.Table, findings: pa.Table | None, fitted: bytes) -> pa.Table:
        return super().conclude(rows, findings, fitted).slice(1)


@pytest.mark.parametrize(
    ("stage", "message"),
    [(UnknownRow(), "not in its input"), (InvalidName(), "group 'a/b'"), (MissingRow(), "results for")],
)
def test_a_contract_violation_fails_the_step(stage: Mate, message: str, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=message):
        run(tmp_path, stage)


def _tables(names: Iterable[str]) -> dict[str, pa.Table]:
    return {name: pa.table({"name": [name], "vector": [[1.0] * len(name)]}) for name in names}


def test_a_bundle_returns_each_of_its_tables(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    many = [f"{'name' * 20}{n}" for n in range(2000)]  # an index larger than the first read
    for name, keys in {"none": [], "two": ["b", "a"], "many": many}.items():
        write_bundle(store, name, _tables(keys))
        assert names_in_bundle(store, name) == tuple(sorted(keys))
        assert all(read_bundle(store, name, key) == table for key, table in _tables(keys).items())
        assert read_bundle(store, name, "absent") is None


def test_a_truncated_bundle_is_an_error(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    write_bundle(store, "whole", _tables(["a"]))
    data = store.read("whole")
    store.create("torn", data[:-50])
    store.create("other", b"\x05\0\0\0\0\0\0\0no json")
    with pytest.raises(Damaged, match="cannot be read"):
        read_bundle(store, "torn", "a")
    with pytest.raises(Damaged, match="cannot be read"):
        names_in_bundle(store, "other")
