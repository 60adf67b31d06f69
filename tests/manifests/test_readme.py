"""The page about the format: its examples run, and it names every kind of table and every file."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from format_examples import example
from small_store import SmallStore

from manifests import catalog
from manifests.manifest import HEADER_FILE, MANIFEST_FILE
from manifests.stores import remote

PAGE = (Path(catalog.__file__).parent / "README.md").read_text()


def test_its_query_of_rejects_runs_in_duckdb(small: SmallStore) -> None:
    """tests/journeys runs the other examples, on a store of the curate recipe."""
    reasons = duckdb.sql(example("sql", 2, small.store.root)).fetchall()
    assert reasons == [("reject", "cannot be decoded", 1), ("reject", "motion_mean missing", 1)]


def test_its_example_of_clips_runs(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(example("python", 0, small.store.root), names)
    assert names["rows"].num_rows == 6
    assert "kept" in capsys.readouterr().out


def test_it_names_every_kind_of_table_and_every_file(small: SmallStore) -> None:
    kinds = ("source", "children", "layer", "survey", "drops", "model")
    for word in (*kinds, remote._PROBE, MANIFEST_FILE, HEADER_FILE):
        assert word in PAGE
    for name in small.store.names(small.motion):
        assert re.split(r"[.0-9]", name)[0] in PAGE
