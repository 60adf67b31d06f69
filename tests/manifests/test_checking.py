"""Checking: a sound store is called sound, and each broken promise is found, placed and given a remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_store import Made

from manifests.catalogue import Table, tables_of
from manifests.checking import Checked, check
from manifests.table import RowCounts, parquet_bytes, part_name, read_part

PART = part_name(0)


def checked(made: Made, *, deep: bool = False) -> Checked:
    return check(made.store, tables_of(made.store), deep=deep)


def file(made: Made, name: str) -> Path:
    return made.store.root / name


def rewrite(
    made: Made, folder: str, change: Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]
) -> None:
    """Change the first part of a table, and its manifest with it, so that only the change is at fault."""
    from dataclasses import asdict, replace

    from manifests.manifest import describe_part, read_manifest
    from manifests.table import read_row_counts

    name = f"{folder}/{PART}"
    rows, row_counts = change(read_part(made.store, name), read_row_counts(made.store, name))
    note = {**(rows.schema.metadata or {}), b"clipmill": json.dumps(asdict(row_counts)).encode()}
    file(made, name).write_bytes(parquet_bytes(rows.replace_schema_metadata(note)))
    manifest = read_manifest(made.store, folder)
    assert manifest
    parts = (describe_part(made.store, folder, 0), *manifest.parts[1:])
    made.store.remove(f"{folder}/manifest.json")
    replace(manifest, parts=parts).write(made.store, folder)


def row_counts(**changed: Any) -> Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]:
    return lambda rows, said: (rows, RowCounts(**{**said.__dict__, **changed}))


def rows(
    change: Callable[[pa.Table], pa.Table],
) -> Callable[[pa.Table, RowCounts], tuple[pa.Table, RowCounts]]:
    return lambda table, said: (change(table), said)


def with_id(table: pa.Table, at: int, value: str) -> pa.Table:
    ids = table["id"].to_pylist()
    ids[at] = value
    return table.set_column(0, table.schema.field("id"), pa.array(ids))


def artifact(made: Made) -> Path:
    part = read_part(made.store, f"{made.motion}/{PART}")
    return file(made, part["strip"][0].as_py()["path"])


def test_a_sound_store_is_sound(made: Made) -> None:
    found = checked(made, deep=True)
    assert found.faults == []
    assert found.notes == []
    assert (found.tables, found.parts, found.rows, len(found.artifacts)) == (5, 10, 24, 5)


FAULTS: dict[str, Callable[[Made], object]] = {
    "it is not the file that the manifest names": lambda m: m.store.replace(
        f"{m.motion}/{PART}", m.store.read(f"{m.motion}/{part_name(1)}")
    ),
    "a part cannot be read": lambda m: (
        m.store.remove(f"{m.motion}/manifest.json"),
        file(m, f"{m.motion}/{PART}").write_bytes(b"PAR1 nothing PAR1"),
    ),
    "its row_counts are not those in the manifest": lambda m: file(m, f"{m.motion}/manifest.json").write_text(
        m.store.read(f"{m.motion}/manifest.json").decode().replace('"rows_in": 3', '"rows_in": 4')
    ),
    "a part of the manifest is missing": lambda m: m.store.remove(f"{m.motion}/{part_name(1)}"),
    "a part stands that the manifest does not name": lambda m: m.store.create(
        f"{m.videos}/{part_name(7)}", m.store.read(f"{m.videos}/{PART}")
    ),
    "not a manifest": lambda m: file(m, f"{m.motion}/manifest.json").write_text("{"),
    "its columns are not those of the table": lambda m: rewrite(
        m, m.motion, rows(lambda t: t.append_column("more", pa.array([1.0] * t.num_rows)))
    ),
    "3 rows entered, and not as many left": lambda m: rewrite(m, m.motion, row_counts(passed=2)),
    "4 rows were sent here, and 3 came": lambda m: rewrite(m, m.videos, row_counts(rows_out=4)),
    "rows stand, and the row_counts say otherwise": lambda m: rewrite(
        m, m.motion, rows(lambda t: t.slice(0, 2))
    ),
    "rows were rejected, and no file names them": lambda m: rewrite(
        m, m.motion, row_counts(rejected=1, passed=2)
    ),
    "the file of its rejects is missing": lambda m: m.store.remove(
        next(n for n in m.store.walk(f"{m.motion}/rejects"))
    ),
    "of its rows are not in list_videos": lambda m: rewrite(
        m, m.motion, rows(lambda t: with_id(t, 1, "stranger"))
    ),
    "its rows are not in the order of list_videos": lambda m: rewrite(
        m, m.motion, rows(lambda t: t.take([1, 0, 2]))
    ),
    "of its rows are not in list_videos-": lambda m: rewrite(
        m, m.clips, rows(lambda t: t.set_column(1, t.schema.field(1), pa.array(["stranger"] * t.num_rows)))
    ),
    "1 ids stand more than once": lambda m: rewrite(
        m, m.videos, rows(lambda t: with_id(t, 0, t["id"][1].as_py()))
    ),
    "an artifact is missing": lambda m: artifact(m).unlink(),
    "an artifact has 3 bytes, and 45 were stored": lambda m: artifact(m).write_bytes(b"abc"),
}


@pytest.mark.parametrize("says", FAULTS)
def test_a_broken_promise_is_found(made: Made, says: str) -> None:
    FAULTS[says](made)
    found = checked(made)
    mine = [fault for fault in found.faults if says in fault.what]
    assert mine, [fault.what for fault in found.faults]
    assert str(made.store.root) in mine[0].where
    assert mine[0].remedy


def test_an_artifact_of_the_right_size_is_only_read_when_asked(made: Made) -> None:
    artifact(made).write_bytes(b"x" * 45)
    assert checked(made).faults == []
    (fault,) = checked(made, deep=True).faults
    assert "not what was stored" in fault.what


def test_a_row_both_kept_and_rejected_is_found(made: Made) -> None:
    from manifests.rows import RejectRow
    from manifests.schema import schema_of, table_of
    from manifests.table import write_rejects

    kept = read_part(made.store, f"{made.motion}/{PART}")["id"][0].as_py()
    aside = table_of([{"id": kept, "kind": "reject", "reason": "r", "detail": ""}], schema_of(RejectRow))
    name = write_rejects(made.store, made.motion, 0, aside)
    rewrite(made, made.motion, row_counts(rejects=name, rejected=1, passed=3, rows_in=4))
    assert any("both kept and among the rejects" in fault.what for fault in checked(made).faults)


def test_an_id_in_two_parts_is_found(made: Made) -> None:
    other = read_part(made.store, f"{made.videos}/{part_name(1)}")["id"][0].as_py()
    rewrite(made, made.videos, rows(lambda t: with_id(t, 0, other)))
    assert any("1 ids stand more than once" in fault.what for fault in checked(made).faults)


def test_leftovers_and_strangers_are_notes_and_no_faults(made: Made) -> None:
    for name in (
        "holiday.jpg", f"{made.motion}/artifacts/ab/abcd.jpg", f"{made.motion}/notes.txt",
        f"{made.motion}/rejects/part-000000-0123456789ab.parquet",
    ):  # fmt: skip
        made.store.create(name, b"x")
    file(made, f"{made.motion}/.hidden").write_bytes(b"a journal")
    found = checked(made)
    assert found.faults == []
    assert found.notes == [
        "holiday.jpg is no part of the store",
        f"{made.motion}: 2 files that a killed attempt left, such as {made.motion}/artifacts/ab/abcd.jpg",
        f"{made.motion}/notes.txt is no part of its table",
    ]


def test_a_table_in_the_making_is_a_note(made: Made) -> None:
    made.store.remove(f"{made.twins}/manifest.json")
    made.store.remove(f"{made.twins}/{part_name(1)}")
    found = checked(made)
    assert found.faults == []
    assert found.notes == [f"{made.twins} is not finished: 1 parts stand"]


def test_one_table_is_checked_alone(made: Made) -> None:
    file(made, f"{made.motion}/{PART}").write_bytes(b"")
    made.store.create("holiday.jpg", b"x")
    found = check(made.store, [Table(made.store, made.clips)], whole_store=False)
    assert (found.tables, found.faults, found.notes) == (1, [], [])
    found = check(made.store, [Table(made.store, made.motion)], whole_store=False)
    assert [fault.what for fault in found.faults] == ["it is not the file that the manifest names"]


def test_what_the_engine_writes_is_sound(tmp_path: Path) -> None:
    from toys import Quiet, toy_dag

    from manifests.stores.folder import FolderStore
    from pipeline.executors.inline import Inline
    from pipeline.planning.plan import plan_of

    store = FolderStore(tmp_path)
    for settings in ({"bad": 5, "worse": 11}, {"bad": 5, "least": 6}):
        Inline().run(plan_of(toy_dag(**settings), store, "r"), Quiet())
    found = check(store, tables_of(store), deep=True)
    assert found.faults == []
    assert found.tables > 6
    assert found.artifacts
