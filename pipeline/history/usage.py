"""Which files each table and each run of a store uses. A row may name a file of an older table's folder."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from manifests.catalog import Table, tables_of
from manifests.manifest import HEADER_FILE, MANIFEST_FILE
from manifests.schema import ARTIFACT
from manifests.store import Store, StoredFile
from manifests.table import part_number, read_part
from pipeline.errors import PipelineError
from pipeline.history.lease_holder import lease_holder
from pipeline.history.run_history import RUNS, read_plan, run_names
from pipeline.history.status import run_state

INTERMEDIATE = ("tally/", "assigned/", "members/", "settled/", "pieces/", "rejects/", "fitted.bin")
_TABLE_FOLDER = re.compile(r".+-[0-9a-f]{10}-[0-9a-f]{10}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")  # an unfinished file of a process that was killed


@dataclass(frozen=True)
class TableUse:
    """The files of one table.

    Attributes:
        folder: The folder of the table.
        own: Files of the folder that belong to the table, without artifacts.
        named: Artifacts that its rows name, in its folder or in the folder of another table.
    """

    folder: str
    own: frozenset[str]
    named: frozenset[str]


@dataclass(frozen=True)
class RunUse:
    """One recorded run.

    Attributes:
        name: Name of the run.
        state: Its state: "done", "failed", "killed" …
        tables: Folders of its tables that exist.
        files: Files that it uses, without its record.
        record: Files of its record.
    """

    name: str
    state: str
    tables: tuple[str, ...]
    files: frozenset[str] = field(repr=False)
    record: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class StoreUse:
    """All files of a store, and what uses them.

    Attributes:
        files: Every file by name.
        tables: The tables in topological order, by folder.
        runs: The runs, oldest first, by name.
    """

    files: Mapping[str, StoredFile]
    tables: Mapping[str, TableUse]
    runs: Mapping[str, RunUse]

    def size_of(self, names: Iterable[str]) -> int:
        """The bytes of these files. A file with several names counts once."""
        return sum({self.files[n].content: self.files[n].size_bytes for n in names}.values())

    def freed_by(self, names: Iterable[str]) -> int:
        """The bytes that are free after these names are deleted: those of files without another name."""
        names_left: dict[str, int] = {}
        for name in names:
            file = self.files[name]
            names_left[file.content] = names_left.get(file.content, file.links) - 1
        sizes = {file.content: file.size_bytes for file in self.files.values()}
        return sum(sizes[content] for content, left in names_left.items() if left == 0)

    def table_folders(self) -> dict[str, list[str]]:
        """The files below each folder of a table, also of a table that was deleted except for artifacts."""
        found: dict[str, list[str]] = {}
        for name in self.files:
            folder, slash, _ = name.partition("/")
            if slash and (folder in self.tables or _TABLE_FOLDER.fullmatch(folder)):
                found.setdefault(folder, []).append(name)
        return found


def store_use(store: Store) -> StoreUse:
    """Read which files every table and every run of a store uses.

    Raises:
        PipelineError: no run is recorded in the store.
        Damaged: a part, a manifest or the plan of a run cannot be read.
    """
    runs = run_names(store)
    if not runs:
        raise PipelineError(
            "no run is recorded in this store, so it is unknown which tables are used",
            where=f"{store.url}/{RUNS}",
            remedy="run a recipe with this store, or delete the folder of the store",
        )
    files = {file.name: file for file in store.files()}
    by_folder: dict[str, list[str]] = {}
    for name in files:
        by_folder.setdefault(name.partition("/")[0], []).append(name)
    tables = {t.folder: _table_use(t, by_folder[t.folder], files) for t in tables_of(store)}
    holder, records = lease_holder(store), by_folder.get(RUNS, [])
    states = {name: run_state(store, name, holder) for name in runs}
    used = {name: _run_use(store, name, state, tables, records) for name, state in states.items()}
    return StoreUse(files, tables, used)


def _run_use(
    store: Store, run: str, state: str, tables: Mapping[str, TableUse], records: list[str]
) -> RunUse:
    steps = read_plan(store, run) or ()
    folders = tuple(step.folder for step in steps if step.folder in tables)
    used = frozenset[str]().union(*(tables[f].own | tables[f].named for f in folders))
    return RunUse(run, state, folders, used, frozenset(n for n in records if n.startswith(f"{RUNS}/{run}/")))


def _table_use(table: Table, files: list[str], existing: Collection[str]) -> TableUse:
    named = _named_artifacts(table, files)
    if table.complete_manifest is None:
        own = {n for n in files if not _TEMPORARY.fullmatch(n.rpartition("/")[2])}  # and what has no row yet
    else:
        artifact_folders = _artifact_folders(table.folder, named)
        own = {name for name in files if not _is_unused(table.folder, name, artifact_folders)}
    return TableUse(table.folder, frozenset(own - named), frozenset(n for n in named if n in existing))


def _is_unused(folder: str, name: str, artifact_folders: set[str]) -> bool:
    """Whether a file of a complete table is a leftover unless a row names it."""
    inside = name.removeprefix(f"{folder}/")
    if _TEMPORARY.fullmatch(inside.rpartition("/")[2]):
        return True
    return "/" in inside and inside.partition("/")[0] in artifact_folders


def _artifact_folders(folder: str, named: frozenset[str]) -> set[str]:
    """The folders inside a table that hold artifacts: "artifacts", "shards" …"""
    inside = (name.removeprefix(f"{folder}/") for name in named if name.startswith(f"{folder}/"))
    return {"artifacts", *(name.partition("/")[0] for name in inside if "/" in name)}


def _named_artifacts(table: Table, files: list[str]) -> frozenset[str]:
    """The artifacts that the rows of a table name; of an unfinished survey also those of finished groups."""
    columns = [c["name"] for c in table.manifest.columns if c["type"] == str(ARTIFACT)]
    if not columns:
        return frozenset()
    inside = {name: name.removeprefix(f"{table.folder}/") for name in files}
    parts = [name for name, short in inside.items() if part_number(short) is not None]
    if table.complete_manifest is None:
        parts += [n for n, s in inside.items() if s.startswith("settled/") and s.endswith(".parquet")]
    found: set[str] = set()
    for name in parts:
        if f"{table.folder}/settled/rejects/" in name:
            continue
        part = read_part(table.store, name, [f"{column}.path" for column in columns])
        for column in columns:
            paths = part.column(column).combine_chunks().drop_null().field("path")
            found.update(paths.unique().to_pylist())
    return frozenset(found)


def is_table_file(folder: str, name: str) -> bool:
    """Whether a file of a table's folder holds rows, or results from which rows are made; not the header."""
    inside = name.removeprefix(f"{folder}/")
    hidden = any(part.startswith(".") for part in inside.split("/"))
    is_part = part_number(inside) is not None
    return hidden or is_part or inside == MANIFEST_FILE or inside.startswith(INTERMEDIATE)


def is_header(folder: str, name: str) -> bool:
    """Whether a file is the header of the table in `folder`."""
    return name == f"{folder}/{HEADER_FILE}"
