"""Validation: a valid store has no faults, and each violation is found, with its place and remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_store import SmallStore

from manifests.catalog import Table, tables_of
from manifests.table import RowCounts, parquet_bytes, part_name, read_part
from manifests.verbs.validation import CheckResult, check

PART = part_name(0)


def checked(small: SmallStore, *, deep: bool = False) -> CheckResult:
    return check(small.store, tables_of(small.store), deep=deep)


def file(small: SmallStore, name: str) -> Path:
    return small.store.root / name


def rewrite(
    small: SmallStore, folder: str, change: Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]
) -> None:
    """Change the first part of a table, and its manifest with it, so that only the change is at fault."""
    from dataclasses import asdict, replace

    from manifests.manifest import describe_part, read_manifest
    from manifests.table import read_row_counts

    name = f"{folder}/{PART}"
    rows, row_counts = change(read_part(small.store, name), read_row_counts(small.store, name))
    note = {**(rows.schema.metadata or {}), b"clipmill": json.dumps(asdict(row_counts)).encode()}
    file(small, name).write_bytes(parquet_bytes(rows.replace_schema_metadata(note)))
    manifest = read_manifest(small.store, folder)
    assert manifest
    parts = (describe_part(small.store, folder, 0), *manifest.parts[1:])
    small.store.remove(f"{folder}/manifest.json")
    replace(manifest, parts=parts).write(small.store, folder)


def row_counts(**changed: Any) -> Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]:
    return lambda rows, counts: (rows, RowCounts(**{**counts.__dict__, **changed}))


def rows(
    change: Callable[[pa.Table], pa.Table],
) -> Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]:
    return lambda table, counts: (change(table), counts)


def with_id(table: pa.Table, at: int, value: str) -> pa.Table:
    ids = table["id"].to_pylist()
    ids[at] = value
    return table.set_column(0, table.schema.field("id"), pa.array(ids))


def artifact(small: SmallStore) -> Path:
    part = read_part(small.store, f"{small.motion}/{PART}")
    return file(small, part["strip"][0].as_py()["path"])


def test_a_valid_store_has_no_faults(small: SmallStore) -> None:
    result = checked(small, deep=True)
    assert result.faults == []
    assert result.notes == []
    assert (result.tables, result.parts, result.rows, len(result.artifacts)) == (5, 10, 24, 5)


FAULTS: dict[str, Callable[[SmallStore], object]] = {
    "the file is not the one that the manifest lists": lambda m: m.store.replace(
        f"{m.motion}/{PART}", m.store.read(f"{m.motion}/{part_name(1)}")
    ),
    "a part cannot be read": lambda m: (
        m.store.remove(f"{m.motion}/manifest.json"),
        file(m, f"{m.motion}/{PART}").write_bytes(b"PAR1 nothing PAR1"),
    ),
    "the row counts of the part differ from those in the manifest": lambda m: file(
        m, f"{m.motion}/manifest.json"
    ).write_text(m.store.read(f"{m.motion}/manifest.json").decode().replace('"rows_in": 3', '"rows_in": 4')),
    "a part of the manifest is missing": lambda m: m.store.remove(f"{m.motion}/{part_name(1)}"),
    "a part exists that the manifest does not list": lambda m: m.store.create(
        f"{m.videos}/{part_name(7)}", m.store.read(f"{m.videos}/{PART}")
    ),
    "not a manifest": lambda m: file(m, f"{m.motion}/manifest.json").write_text("{"),
    "the columns of the part differ from those of the table": lambda m: rewrite(
        m, m.motion, rows(lambda t: t.append_column("more", pa.array([1.0] * t.num_rows)))
    ),
    "3 rows entered, but another number left": lambda m: rewrite(m, m.motion, row_counts(passed=2)),
    "the previous step passed 4 rows, but 3 entered": lambda m: rewrite(m, m.videos, row_counts(rows_out=4)),
    "rows, but its row counts differ": lambda m: rewrite(m, m.motion, rows(lambda t: t.slice(0, 2))),
    "rows were rejected, but no file names them": lambda m: rewrite(
        m, m.motion, row_counts(rejected=1, passed=2)
    ),
    "the file of rejects of the part is missing": lambda m: m.store.remove(
        next(n for n in m.store.walk(f"{m.motion}/rejects"))
    ),
    "1 rows of the part are not in list_videos": lambda m: rewrite(
        m, m.motion, rows(lambda t: with_id(t, 1, "stranger"))
    ),
    "the rows of the part are not in the order of list_videos": lambda m: rewrite(
        m, m.motion, rows(lambda t: t.take([1, 0, 2]))
    ),
    "rows of the part are not in list_videos-": lambda m: rewrite(
        m, m.clips, rows(lambda t: t.set_column(1, t.schema.field(1), pa.array(["stranger"] * t.num_rows)))
    ),
    "1 ids are not unique": lambda m: rewrite(m, m.videos, rows(lambda t: with_id(t, 0, t["id"][1].as_py()))),
    "an artifact is missing": lambda m: artifact(m).unlink(),
    "an artifact has 3 bytes, but 45 were stored": lambda m: artifact(m).write_bytes(b"abc"),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_violation_is_found(small: SmallStore, message: str) -> None:
    FAULTS[message](small)
    result = checked(small)
    matching = [fault for fault in result.faults if message in fault.what]
    assert matching, [fault.what for fault in result.faults]
    assert str(small.store.root) in matching[0].where
    assert matching[0].remedy


def test_an_artifact_of_the_right_size_is_read_only_with_deep(small: SmallStore) -> None:
    artifact(small).write_bytes(b"x" * 45)
    assert checked(small).faults == []
    (fault,) = checked(small, deep=True).faults
    assert "does not match its digest" in fault.what


def test_a_row_both_kept_and_rejected_is_found(small: SmallStore) -> None:
    from manifests.rows import RejectRow
    from manifests.schema import schema_of, table_of
    from manifests.table import write_rejects

    kept = read_part(small.store, f"{small.motion}/{PART}")["id"][0].as_py()
    rejects = table_of([{"id": kept, "kind": "reject", "reason": "r", "detail": ""}], schema_of(RejectRow))
    name = write_rejects(small.store, small.motion, 0, rejects)
    rewrite(small, small.motion, row_counts(rejects=name, rejected=1, passed=3, rows_in=4))
    assert any("both kept and among the rejects" in fault.what for fault in checked(small).faults)


def test_an_id_in_two_parts_is_found(small: SmallStore) -> None:
    other = read_part(small.store, f"{small.videos}/{part_name(1)}")["id"][0].as_py()
    rewrite(small, small.videos, rows(lambda t: with_id(t, 0, other)))
    assert any("1 ids are not unique" in fault.what for fault in checked(small).faults)


def test_unused_and_unknown_files_are_notes_and_not_faults(small: SmallStore) -> None:
    for name in (
        "holiday.jpg", f"{small.motion}/artifacts/ab/abcd.jpg", f"{small.motion}/notes.txt",
        f"{small.motion}/rejects/part-000000-0123456789ab.parquet",
    ):  # fmt: skip
        small.store.create(name, b"x")
    file(small, f"{small.motion}/.hidden").write_bytes(b"a journal")
    result = checked(small)
    assert result.faults == []
    assert result.notes == [
        "holiday.jpg does not belong to the store",
        f"{small.motion}: an interrupted run left 2 unused files,"
        f" such as {small.motion}/artifacts/ab/abcd.jpg",
        f"{small.motion}/notes.txt does not belong to its table",
    ]


def test_an_unfinished_table_is_a_note(small: SmallStore) -> None:
    small.store.remove(f"{small.duplicates}/manifest.json")
    small.store.remove(f"{small.duplicates}/{part_name(1)}")
    result = checked(small)
    assert result.faults == []
    assert result.notes == [f"{small.duplicates} is not finished: 1 parts exist"]


def test_one_table_is_checked_alone(small: SmallStore) -> None:
    file(small, f"{small.motion}/{PART}").write_bytes(b"")
    small.store.create("holiday.jpg", b"x")
    result = check(small.store, [Table(small.store, small.clips)], whole_store=False)
    assert (result.tables, result.faults, result.notes) == (1, [], [])
    result = check(small.store, [Table(small.store, small.motion)], whole_store=False)
    assert [fault.what for fault in result.faults] == ["the file is not the one that the manifest lists"]


def test_what_the_engine_writes_is_valid(tmp_path: Path) -> None:
    from toys import Quiet, toy_dag

    from manifests.stores.folder import FolderStore
    from pipeline.executors.inline import Inline
    from pipeline.planning.plan import build_plan

    store = FolderStore(tmp_path)
    for settings in ({"bad": 5, "fail_on": 11}, {"bad": 5, "min_half": 6}):
        Inline().run(build_plan(toy_dag(**settings), store, "r"), Quiet())
    result = check(store, tables_of(store), deep=True)
    assert result.faults == []
    assert result.tables > 6
    assert result.artifacts
