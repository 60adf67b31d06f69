"""The page about the format: its examples run, and it names every kind of table and every file."""

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import duckdb
import pytest
from format_examples import example
from small_store import SmallStore
from toys import Quiet, toy_dag

from manifests import catalog
from manifests.catalog import tables_of
from manifests.manifest import HEADER_FILE, MANIFEST_FILE
from manifests.stores import remote
from manifests.stores.folder import FolderStore
from manifests.verbs.validation import check
from pipeline.executors.inline import Inline
from pipeline.planning.plan import RETRIES
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag

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


def patterns_of_files() -> list[str]:
    """The paths in the table of the section on files."""
    section = PAGE.partition("## Where files go")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [pattern for cell in cells for pattern in re.findall(r"`([^`]+)`", cell)]


def test_it_says_of_every_file_of_a_store_where_it_is_and_what_deleting_it_means(tmp_path: Path) -> None:
    request = RunRequest("toy.py", {}, str(tmp_path))
    options = {"executor": Inline(), "observer": Quiet(), "request": request, "accept_code": True}
    run_dag(toy_dag(count=6, min_half=0, ranks=1, bad=5), str(tmp_path), **options)
    patterns = [*patterns_of_files(), "sum-*/groups/*"]  # a toy survey that names its files
    files = {file.name for file in FolderStore(tmp_path).files()}
    assert {name.split("/")[1] for name in files if name.startswith("learn-")} >= {".work", "table.json"}
    for name in (
        "square-*/part-000001.parquet",
        "square-*/manifest.json",
        "sum-*/manifest.json",
        "sum-*/groups/*",
    ):
        [deleted, *_] = tmp_path.glob(name)
        deleted.unlink()
    for name in ("tally/*", "settled/*.parquet", "fitted.bin", "assigned/*", "members/*"):
        for deleted in tmp_path.glob(f"sum-*/{name}"):
            deleted.unlink()
    assert run_dag(toy_dag(count=6, min_half=0, ranks=1, bad=5), str(tmp_path), **options).exit_code == 0
    assert check(FolderStore(tmp_path), tables_of(FolderStore(tmp_path)), deep=True).faults == []
    assert files <= {file.name for file in FolderStore(tmp_path).files()}
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    tops = {pattern.split("/")[0] for pattern in patterns if not pattern.startswith(("*", "sum"))}
    assert tops - {"scan_video-*", "cut_clip-*", "pack_shards-*", "pack_latents-*"} == {
        *catalog._STORE_NAMES,
        RETRIES,
    }
