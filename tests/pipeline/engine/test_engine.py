"""The engine on toy stages with the inline executor: results, rejected rows, and rows processed again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toys import Number, Numbers, Quiet, Square, toy_dag

from manifests import Row, column
from manifests.manifest import read_manifest
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts, write_part
from pipeline import Annotate, Dag
from pipeline.engine.schedule import Schedule
from pipeline.errors import RowCountMismatch, StageFailed
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan


def run(dag: Dag, store: Path, name: str = "r") -> tuple[Plan, Schedule]:
    plan = build_plan(dag, FolderStore(store), name)
    return plan, Inline().run(plan, Quiet())


def rows(plan: Plan, step: str) -> list[dict[str, object]]:
    folder = plan[step].folder
    tables = [read_part(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder)]
    return [row for table in tables for row in table.to_pylist()]


def rejects(plan: Plan, step: str) -> list[dict[str, object]]:
    folder = plan[step].folder
    names = list(plan.store.walk(f"{folder}/rejects"))
    return [row for name in names for row in read_part(plan.store, name).to_pylist()]


def numbers_in(file: Path) -> list[int]:
    return sorted(int(line) for line in file.read_text().split())


def file_contents(folder: Path) -> dict[str, bytes]:
    """The content of every file that is not hidden, by path."""
    paths = (p for p in folder.rglob("*") if p.is_file())
    by_name = {p.relative_to(folder).as_posix(): p for p in paths}
    return {n: p.read_bytes() for n, p in by_name.items() if not any(x.startswith(".") for x in n.split("/"))}


def test_every_row_leaves_as_kept_dropped_or_rejected(tmp_path: Path) -> None:
    plan, schedule = run(toy_dag(bad=5, fail_on=11), tmp_path)
    row_counts = {name: progress.row_counts for name, progress in schedule.steps.items()}
    assert (row_counts["square"].rows_in, row_counts["square"].passed, row_counts["square"].rejected) == (
        20,
        15,
        5,
    )
    assert row_counts["square"].errors == 1  # the stage rejected the multiples of 5 and failed on 11
    small = [
        row["n"] for row in rows(plan, "numbers") if row["id"] in {d["id"] for d in rows(plan, "too_small")}
    ]
    assert sorted(small) == [1, 2, 3, 4, 6]
    assert [r["reason"] for r in rejects(plan, "too_small")] == [
        "half missing: 'half >= 4' cannot be evaluated"
    ]
    assert all(b.is_balanced() for b in row_counts.values())
    children = [row["parent"] for row in rows(plan, "split")]
    kept = {r["id"]: r["n"] for r in rows(plan, "numbers")}
    assert sorted(kept[c] for c in children) == [9, 13, 14, 14, 17, 18, 18, 19, 19, 19]  # n % 4 each


def test_an_error_has_a_line_and_a_reject_has_a_reason(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(bad=5, fail_on=11), tmp_path)
    found = {str(r["reason"]): r for r in rejects(plan, "square")}
    assert found["5 is a multiple of 5"]["kind"] == "reject"
    error = found["ValueError: this number fails"]
    assert error["kind"] == "error"
    assert "toys.py" in str(error["detail"])


def test_a_dropped_row_records_the_value_that_the_rule_read(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(), tmp_path)
    values = {(r["rule"], r["where"], r["value"]) for r in rows(plan, "too_small")}
    assert ("too small", "half >= 4", "half=1.5") in values


def test_a_survey_settles_whole_groups_and_keeps_the_order_of_parts(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(min_half=0), tmp_path)
    squares = {r["id"]: r["square"] for r in rows(plan, "square")}
    pieces = {r["id"]: squares[r["parent"]] for r in rows(plan, "split")}
    for row in rows(plan, "sum"):
        group = [s for s in pieces.values() if s % 3 == pieces[row["id"]] % 3]
        assert row["total"] == sum(group)
    assert [r["reason"] for r in rejects(plan, "sum")] == ["nine is rejected"]
    for number in parts_of(plan.store, plan["sum"].folder):
        home = read_part(plan.store, f"{plan['split'].folder}/{part_name(number)}", ["id"])["id"].to_pylist()
        here = read_part(plan.store, f"{plan['sum'].folder}/{part_name(number)}", ["id"])["id"].to_pylist()
        assert here == [i for i in home if i in here]


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    run(toy_dag(count_in=str(counted)), tmp_path / "s")
    before, count_before = file_contents(tmp_path / "s"), counted.read_text()
    _, schedule = run(toy_dag(count_in=str(counted)), tmp_path / "s")
    assert schedule.is_finished
    assert file_contents(tmp_path / "s") == before
    assert counted.read_text() == count_before


def test_a_changed_threshold_processes_no_row_again(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    run(toy_dag(count_in=str(counted), min_half=6), tmp_path / "s")
    processed = numbers_in(counted)
    assert processed == list(range(20))
    plan, schedule = run(toy_dag(count_in=str(counted), min_half=4), tmp_path / "s")
    assert numbers_in(counted) == processed  # the squares come before the rule: none was computed again
    work = schedule.steps["split"].work
    with_children = [r["n"] for r in rows(plan, "numbers") if int(str(r["n"])) >= 12 and int(str(r["n"])) % 4]
    assert work.reused == len(with_children)
    assert work.processed + work.reused == schedule.steps["split"].row_counts.rows_in
    new, _ = run(toy_dag(min_half=4), tmp_path / "fresh")
    assert rows(plan, "sum") == rows(new, "sum")


def test_rows_of_another_listing_reuse_earlier_results(tmp_path: Path) -> None:
    """A shot threshold changes the clips; clips that exist again are not measured again."""
    counted = tmp_path / "count"

    def listing(count: int) -> Dag:
        dag = Dag("listing")
        dag.save(
            dag.read(Numbers(count=count), rows_per_part=4).annotate(Square(count_in=str(counted))), "all"
        )
        return dag

    run(listing(10), tmp_path / "s")
    run(listing(14), tmp_path / "s")  # other parts, and ten rows with results
    assert numbers_in(counted) == list(range(14))


def test_after_a_kill_only_unfinished_rows_are_processed_again(tmp_path: Path) -> None:
    counted, here = tmp_path / "count", Path(__file__)
    code = (
        "import sys; from pathlib import Path; from toys import toy_dag; from test_engine import run;"
        f"run(toy_dag(count_in={str(counted)!r}, crash_on=13), Path({str(tmp_path / 's')!r}), sys.argv[1])"
    )
    paths = f"{here.parents[2] / 'toys'}{os.pathsep}{here.parent}"
    for name in ("first", "second"):
        command = [sys.executable, "-c", code, name]
        killed = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": paths}, cwd=here.parents[3], check=False
        )
        assert killed.returncode == -signal.SIGKILL
    assert numbers_in(counted) == sorted([*range(14), 12, 13])  # the batch of the kill, and nothing else


def test_a_stage_that_fails_on_all_rows_stops_the_run(tmp_path: Path) -> None:
    class Broken(Annotate[Number, Nothing]):
        def annotate(self, rows):  # type: ignore[no-untyped-def]
            raise KeyError("the stage is wrong")

    dag = Dag("d")
    dag.save(dag.read(Numbers(count=40)).annotate(Broken()), "x")
    with pytest.raises(StageFailed, match="the stage is wrong"):
        run(dag, tmp_path)


def test_a_stage_that_loses_a_row_stops_the_run(tmp_path: Path) -> None:
    class Loses(Annotate[Number, Nothing]):
        def annotate(self, rows):  # type: ignore[no-untyped-def]
            return [Nothing(nothing=0) for _ in rows][1:]

    dag = Dag("d")
    dag.save(dag.read(Numbers(count=3)).annotate(Loses()), "x")
    with pytest.raises(StageFailed, match="returned 0 results for 1 rows"):
        run(dag, tmp_path)


def test_a_part_that_does_not_balance_stops_the_run(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(), tmp_path)
    folder = tmp_path / plan["square"].folder
    forged = read_part(plan.store, f"{plan['square'].folder}/{part_name(1)}").slice(0, 2)
    (folder / "manifest.json").unlink()
    target = folder / part_name(1)
    target.unlink()
    row_counts = RowCounts(rows_in=3, passed=3, rows_out=3)
    write_part(plan.store, f"{plan['square'].folder}/{part_name(1)}", forged, row_counts)
    for later in tmp_path.glob("too_small-*"):
        (later / "manifest.json").unlink()
    with pytest.raises(RowCountMismatch, match="square do not balance: part 1 holds 2 rows"):
        run(toy_dag(), tmp_path)


def test_an_empty_source_gives_empty_tables(tmp_path: Path) -> None:
    plan, schedule = run(toy_dag(count=0, ranks=1), tmp_path)
    assert schedule.is_finished
    assert rows(plan, "learn")[0]["weight"] == 0
    assert read_manifest(plan.store, plan["sum"].folder).row_counts.rows_out == 0  # type: ignore[union-attr]


def test_ranks_run_in_parallel(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(ranks=2), tmp_path)
    (model,) = rows(plan, "learn")
    assert model["ranks"] == 2


def test_footers_hold_the_row_counts_of_each_part(tmp_path: Path) -> None:
    plan, _ = run(toy_dag(bad=5), tmp_path)
    folder = plan["square"].folder
    row_counts = [
        read_row_counts(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder)
    ]
    assert sum(b.rows_in for b in row_counts) == 20
    assert sum(b.rejected for b in row_counts) == 4
    named = [b.rejects for b in row_counts if b.rejected]
    assert all(plan.store.exists(f"{folder}/{name}") for name in named)
    found = json.loads((tmp_path / folder / "manifest.json").read_text())
    assert found["keys"]["content"] == plan["square"].keys.content


class Nothing(Row):
    nothing: int = column("nothing")
