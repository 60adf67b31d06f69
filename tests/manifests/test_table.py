"""Parts and manifests on disk: first writer wins, footers hold row counts, equal tables have equal bytes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_store import SmallStore, make_store

from manifests.errors import Damaged, NewerFormat
from manifests.manifest import Manifest, columns_of, describe_part, read_header, read_manifest
from manifests.rows import DropRow, RejectRow
from manifests.schema import schema_of, table_of
from manifests.stores.folder import FolderStore
from manifests.table import (
    RowCounts,
    count_rows,
    part_name,
    part_number,
    parts_of,
    read_part,
    read_row_counts,
    write_part,
    write_rejects,
)  # fmt: skip

ROWS = pa.table({"id": ["a", "b"], "n": [1, 2]})


@given(st.integers(0, 10**7))
def test_part_names_sort_as_their_numbers(number: int) -> None:
    assert part_number(part_name(number)) == number
    if number < 10**6 - 1:
        assert part_name(number) < part_name(number + 1)


def test_only_parts_are_parts(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in (
        "part-000002.parquet",
        "part-000000.parquet",
        "part-.parquet",
        "part-1.tmp",
        "manifest.json",
    ):
        store.create(f"t/{name}", b"")
    store.create("t/rejects/part-000009-abc.parquet", b"")
    assert parts_of(store, "t") == [0, 2]
    assert parts_of(store, "nowhere") == []


def test_the_first_part_is_kept(tmp_path: Path) -> None:
    store, name = FolderStore(tmp_path), f"t/{part_name(0)}"
    assert write_part(store, name, ROWS, RowCounts(rows_in=2, passed=2, rows_out=2))
    assert not write_part(store, name, ROWS.slice(0, 1), RowCounts(rows_in=1, passed=1, rows_out=1))
    assert read_part(store, name).equals(ROWS)
    assert read_part(store, name, ["n"]).column_names == ["n"]
    assert read_row_counts(store, name).rows_in == 2


def test_row_counts_are_read_from_the_footer(tmp_path: Path) -> None:
    store, name = FolderStore(tmp_path), f"t/{part_name(0)}"
    counts = RowCounts(
        rows_in=9, passed=3, dropped=4, rejected=2, errors=1, rows_out=3, rejects="rejects/x", groups={"g": 3}
    )
    write_part(store, name, ROWS, counts)
    assert read_row_counts(store, name) == counts
    assert counts.is_balanced()
    assert not replace(counts, dropped=5).is_balanced()
    assert json.loads(pq.read_schema(tmp_path / name).metadata[b"clipmill"])["passed"] == 3


def test_rejects_are_named_by_their_content(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    schema = schema_of(RejectRow)
    rows = [
        table_of([{"id": name, "kind": "reject", "reason": "r", "detail": ""}], schema) for name in ("a", "b")
    ]
    names = [write_rejects(store, "t", 3, table) for table in (*rows, rows[0])]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("rejects/part-000003-") for name in names)
    assert write_rejects(store, "t", 3, schema.empty_table()) == ""
    assert len(store.names("t/rejects")) == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"not parquet at all", None])
def test_a_damaged_part_raises(tmp_path: Path, damage: bytes | None) -> None:
    store, name = FolderStore(tmp_path), f"t/{part_name(0)}"
    write_part(store, name, pa.table({"id": [str(n) for n in range(5000)]}), RowCounts())
    whole = store.read(name)
    store.replace(name, whole[: len(whole) // 2] if damage is None else damage)
    for read in (read_part, read_row_counts):
        with pytest.raises(Damaged) as error:
            read(store, name)
        assert str(tmp_path / name) in error.value.where
        assert error.value.remedy


def test_a_parquet_file_of_another_tool_has_no_row_counts(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "part-000000.parquet")
    with pytest.raises(Damaged):
        read_row_counts(FolderStore(tmp_path), "part-000000.parquet")


@pytest.mark.parametrize("values", [{"groups": ["g"]}, {"groups": {"g": "1"}}, {"rejects": "ü" * 200}])
def test_row_counts_of_wrong_types_are_damage(tmp_path: Path, values: dict[str, Any]) -> None:
    write_part(FolderStore(tmp_path), "part-000000.parquet", ROWS, RowCounts(**values))
    for read in (count_rows, read_row_counts):
        with pytest.raises(Damaged):
            read(FolderStore(tmp_path), "part-000000.parquet")


def test_a_missing_part_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_part(FolderStore(tmp_path), "t/part-000000.parquet")


def test_equal_work_gives_equal_stores_byte_for_byte(small: SmallStore, tmp_path: Path) -> None:
    other = make_store(tmp_path / "elsewhere" / "else").store
    names = list(small.store.walk())
    assert list(other.walk()) == names
    assert len(names) > 20
    assert [n for n in names if small.store.read(n) != other.read(n)] == []


def test_a_manifest_describes_its_parts_and_columns(small: SmallStore) -> None:
    found = read_manifest(small.store, small.motion)
    assert found
    assert [part.number for part in found.parts] == [0, 1]
    assert found.parts[1] == describe_part(small.store, small.motion, 1)
    assert (found.row_counts.rows_in, found.row_counts.passed, found.row_counts.rejected) == (6, 5, 1)
    assert found.columns[1] == {
        "name": "motion_mean", "type": "double", "nullable": True, "unit": "px", "meaning": "mean motion",
    }  # fmt: skip
    header = read_header(small.store, small.motion)
    assert header == replace(found, parts=())
    assert not found.write(small.store, small.motion)
    assert str(small.store.root) not in small.store.read(f"{small.motion}/manifest.json").decode()


def test_a_folder_that_is_not_a_table_has_no_manifest(small: SmallStore) -> None:
    assert read_manifest(small.store, "runs") is None
    assert read_header(small.store, "nowhere") is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"format": 1.1}', b'{"format": "x"}'),
        *(b'{"format": NaN}', b'{"format": 1%s}' % (b"0" * 400)),
    ],
)
def test_a_damaged_manifest_raises(small: SmallStore, text: bytes) -> None:
    small.store.replace(f"{small.motion}/manifest.json", text)
    with pytest.raises(Damaged, match="not a manifest"):
        read_manifest(small.store, small.motion)


def test_a_manifest_of_a_newer_format_is_refused(small: SmallStore) -> None:
    name = f"{small.motion}/manifest.json"
    counts = {**json.loads(small.store.read(name)), "format": 2, "new_field": 1}
    small.store.replace(name, json.dumps(counts).encode())
    with pytest.raises(NewerFormat, match=r"format 2\.0"):
        read_manifest(small.store, small.motion)


def test_drops_and_rejects_have_their_columns() -> None:
    assert [c["name"] for c in columns_of(schema_of(RejectRow))] == ["id", "kind", "reason", "detail"]
    assert [c["name"] for c in columns_of(schema_of(DropRow))] == ["id", "rule", "where", "value"]
    assert all(c["meaning"] for c in columns_of(schema_of(RejectRow, DropRow)))


def test_manifests_are_values() -> None:
    manifest = Manifest(
        node="n", kind="layer", base="", root="", keys={}, made_by={}, inputs=(), columns=()
    )  # fmt: skip
    assert manifest == replace(manifest)
    assert manifest.row_counts == RowCounts()
