"""The page on the format: what it says can be run."""

import re
from pathlib import Path

import pytest
from small_store import Made

from manifests import catalogue
from manifests.stores import remote

PAGE = (Path(catalogue.__file__).parent / "README.md").read_text()


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_its_pandas_reads_what_a_rule_kept(made: Made) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed, so its example is not run")
    names: dict[str, object] = {}
    exec(block("python").replace("STORE", str(made.store.root)), names)
    kept = names["kept"]
    assert list(kept["source"]) == ["a.mp4", "c.mp4", "d.mp4"]  # type: ignore[index]


def test_its_queries_run_in_duckdb(made: Made) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed, so its queries are not run")
    kept, why = (
        duckdb.sql(block("sql", n).replace("STORE", str(made.store.root))).fetchall() for n in (0, 1)
    )
    assert kept == [("a.mp4", 0.5), ("c.mp4", 2.0), ("d.mp4", 0.45)]
    assert why == [("reject", "cannot be decoded", 1), ("reject", "motion_mean missing", 1)]


def test_it_names_every_kind_of_table_and_every_file(made: Made) -> None:
    for word in ("source", "children", "layer", "survey", "drops", "model", remote._PROBE, *catalogue._MARKS):
        assert word in PAGE
    for name in made.store.names(made.motion):
        assert re.split(r"[.0-9]", name)[0] in PAGE
