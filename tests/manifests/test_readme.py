"""The page about the format: its examples run, and it names every kind of table and every file."""

import re
from pathlib import Path

import pytest
from small_store import SmallStore

from manifests import catalog
from manifests.manifest import HEADER_FILE, MANIFEST_FILE
from manifests.stores import remote

PAGE = (Path(catalog.__file__).parent / "README.md").read_text()


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_its_pandas_reads_what_a_rule_kept(small: SmallStore) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed, so its example is not run")
    names: dict[str, object] = {}
    exec(block("python").replace("STORE", str(small.store.root)), names)
    kept = names["kept"]
    assert list(kept["source"]) == ["a.mp4", "c.mp4", "d.mp4"]  # type: ignore[index]


def test_its_queries_run_in_duckdb(small: SmallStore) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed, so its queries are not run")
    kept, why = (
        duckdb.sql(block("sql", n).replace("STORE", str(small.store.root))).fetchall() for n in (0, 1)
    )
    assert kept == [("a.mp4", 0.5), ("c.mp4", 2.0), ("d.mp4", 0.45)]
    assert why == [("reject", "cannot be decoded", 1), ("reject", "motion_mean missing", 1)]


def test_it_names_every_kind_of_table_and_every_file(small: SmallStore) -> None:
    kinds = ("source", "children", "layer", "survey", "drops", "model")
    for word in (*kinds, remote._PROBE, MANIFEST_FILE, HEADER_FILE):
        assert word in PAGE
    for name in small.store.names(small.motion):
        assert re.split(r"[.0-9]", name)[0] in PAGE
