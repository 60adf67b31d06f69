"""Validation of tables: do the files of a store follow the format?

A fault is a violation of the format. A note is not an error: it names an unfinished table, or files that an
interrupted run left behind and that no row names.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from manifests.artifact import Artifact
from manifests.catalog import Table, unknown_names
from manifests.errors import Damaged, ManifestError
from manifests.manifest import Part, columns_of
from manifests.schema import ARTIFACT
from manifests.store import Store
from manifests.table import RowCounts, part_name, read_part, read_row_counts

_RERUN = "delete it and the table's manifest.json, and run again: only this file is made again"
_BUG = "this is a bug of clipmill or of a stage; keep the store and report it"
_SURVEY_FILES = ("tally/", "assigned/", "members/", "settled/", "fitted.bin")


@dataclass(frozen=True)
class Fault:
    """A violation of the format."""

    what: str
    where: str
    remedy: str


@dataclass
class CheckResult:
    """What was checked, and the faults and notes.

    Attributes:
        tables, parts, rows: Numbers of tables, parts and rows that were checked.
        faults: Violations of the format.
        notes: Unfinished tables and unknown files.
        artifacts: Paths of the files that rows name, relative to the store.
    """

    tables: int = 0
    parts: int = 0
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artifacts: set[str] = field(default_factory=set)

    def fault(self, what: str, where: str, remedy: str = _BUG) -> None:
        """Record a fault."""
        self.faults.append(Fault(what, where, remedy))


class Validator(Protocol):
    """An additional check of the tables of one stage; it records faults in `result`."""

    def __call__(self, table: Table, result: CheckResult, *, quick: bool) -> None: ...


def check(
    store: Store,
    tables: Iterable[Table],
    *,
    deep: bool = False,
    whole_store: bool = True,
    validators: Mapping[str, Validator] = MappingProxyType({}),
    quick: bool = False,
    on_table: Callable[[str], None] = lambda _: None,
) -> CheckResult:
    """Check tables.

    Args:
        store: The store that holds the tables.
        tables: The tables to check.
        deep: Read every artifact and compare its digest, not only its size.
        whole_store: Also note files of the store that belong to no table.
        validators: Additional checks by the stage that made a table, as manifests name the stage.
        quick: Passed to validators, which then skip slow checks.
        on_table: Called with the folder of each table before the table is checked.
    """
    result = CheckResult()
    known_files: dict[str, set[str]] = {}
    for table in list(tables):
        on_table(table.folder)
        result.tables += 1
        try:
            known_files[table.folder] = _TableCheck(table, result, deep).run()
            validator = validators.get(str(table.manifest.made_by.get("stage")))
            if validator and table.complete_manifest:
                validator(table, result, quick=quick)
        except ManifestError as error:
            result.fault(error.what, error.where or f"{store.url}/{table.folder}", error.remedy)
    if whole_store:
        shared = {path.partition("/")[0] for path in result.artifacts}
        for name in unknown_names(store):
            if name in shared:  # a table that was deleted, except for the files that other tables name
                known_files[name] = set()
            else:
                result.notes.append(f"{name} does not belong to the store")
        for folder, names in known_files.items():
            _note_unknown_files(store, folder, names, result)
    return result


def _note_unknown_files(store: Store, folder: str, known: set[str], result: CheckResult) -> None:
    """Note the files of a table that nothing refers to."""
    unknown = [n for n in store.walk(folder) if n not in known and n not in result.artifacts]
    leftovers = [n for n in unknown if n.startswith((f"{folder}/artifacts/", f"{folder}/rejects/"))]
    if leftovers:
        count = len(leftovers)
        result.notes.append(f"{folder}: an interrupted run left {count} unused files, such as {leftovers[0]}")
    result.notes += [f"{name} does not belong to its table" for name in unknown if name not in leftovers]


class _TableCheck:
    """The checks of one table."""

    def __init__(self, table: Table, result: CheckResult, deep: bool) -> None:
        self.table, self.result, self.deep = table, result, deep
        self.store, self.folder, self.manifest = table.store, table.folder, table.manifest
        self.known_files = {f"{table.folder}/{name}" for name in ("manifest.json", "table.json", "README.md")}
        self.ids: list[pa.ChunkedArray] = []

    def run(self) -> set[str]:
        """Check the table. Returns the names of the files that belong to it, without artifacts."""
        complete = self.table.complete_manifest
        existing = self.table.part_numbers
        if complete is None:
            self.result.notes.append(f"{self.folder} is not finished: {len(existing)} parts exist")
        listed = {part.number: part for part in complete.parts} if complete else {}
        for number in sorted(set(listed) | set(existing)):
            self._check_part(number, listed.get(number))
        if self.table.has_own_rows and self.ids:
            ids = pa.chunked_array([chunk for column in self.ids for chunk in column.chunks], pa.string())
            duplicates = len(ids) - pc.count_distinct(ids, mode="all").as_py()
            if duplicates:
                self.result.fault(f"{duplicates} ids are not unique", f"{self.store.url}/{self.folder}")
        if complete is None:
            return set(self.store.walk(self.folder))
        prefixes = tuple(f"{self.folder}/{name}" for name in _SURVEY_FILES)
        if self.manifest.kind == "survey":
            self.known_files |= {n for n in self.store.walk(self.folder) if n.startswith(prefixes)}
        return self.known_files

    def _check_part(self, number: int, listed: Part | None) -> None:
        name = f"{self.folder}/{part_name(number)}"
        self.known_files.add(name)
        where = f"{self.store.url}/{name}"
        if number not in self.table.part_numbers:
            remedy = f"delete {self.folder}/manifest.json and run again: only this part is made again"
            self.result.fault("a part of the manifest is missing", where, remedy)
            return
        if self.table.complete_manifest and listed is None:
            self.result.fault("a part exists that the manifest does not list", where, "delete it")
        if listed is not None and not self._has_digest(name, listed):
            self.result.fault("the file is not the one that the manifest lists", where, _RERUN)
            return  # any further fault of this file follows from this one
        try:
            rows, row_counts = read_part(self.store, name), read_row_counts(self.store, name)
        except Damaged as error:
            self.result.fault(error.what, where, _RERUN)
            return
        if listed is not None and row_counts != listed.row_counts:
            self.result.fault("the row counts of the part differ from those in the manifest", where)
        self.result.parts += 1
        self.result.rows += rows.num_rows
        if columns_of(rows.schema) != self.manifest.columns:
            self.result.fault("the columns of the part differ from those of the table", where)
        self._check_row_counts(number, rows, row_counts, where)
        self._check_ids(number, rows, where)
        for column in rows.schema:
            if column.type == ARTIFACT:
                self._check_artifacts(rows.column(column.name), where)

    def _has_digest(self, name: str, listed: Part) -> bool:
        data = self.store.read(name)
        return len(data) == listed.size_bytes and hashlib.sha256(data).hexdigest() == listed.sha256

    def _check_row_counts(self, number: int, rows: pa.Table, row_counts: RowCounts, where: str) -> None:
        """Check that rows in = passed + dropped + rejected, and that the files hold these numbers of rows."""
        kind = self.manifest.kind
        if kind != "source" and not row_counts.is_balanced():
            self.result.fault(
                f"{row_counts.rows_in} rows entered, but another number left: {row_counts}", where
            )
        rows_out = {"layer": row_counts.passed, "survey": row_counts.passed, "drops": row_counts.dropped}
        if not rows.num_rows == row_counts.rows_out == rows_out.get(kind, row_counts.rows_out):
            self.result.fault(
                f"the part holds {rows.num_rows} rows, but its row counts differ: {row_counts}", where
            )
        expected = self._rows_expected(number)
        if expected is not None and expected != row_counts.rows_in:
            self.result.fault(
                f"the previous step passed {expected} rows, but {row_counts.rows_in} entered", where
            )
        rejected = self._rejected_ids(row_counts, where)
        own = rows.column("parent" if kind == "children" else "id")
        if rejected is not None and pc.any(pc.is_in(rejected, value_set=own.combine_chunks())).as_py():
            self.result.fault("a row is both kept and among the rejects", where)

    def _rows_expected(self, number: int) -> int | None:
        """The number of rows that the previous step passed to this part; None if it is unknown."""
        if len(self.manifest.inputs) != 1 or self.manifest.kind in ("source", "model"):
            return None
        previous = self.manifest.inputs[0]
        try:
            row_counts = read_row_counts(self.store, f"{previous}/{part_name(number)}")
        except (FileNotFoundError, Damaged):
            return None  # the check of that table reports it
        return row_counts.rows_out if not Table(self.store, previous).manifest.base else row_counts.passed

    def _rejected_ids(self, row_counts: RowCounts, where: str) -> pa.ChunkedArray | None:
        """The ids of the rejects of a part."""
        if not row_counts.rejects:
            if row_counts.rejected:
                self.result.fault(f"{row_counts.rejected} rows were rejected, but no file names them", where)
            return None
        name = f"{self.folder}/{row_counts.rejects}"
        self.known_files.add(name)
        try:
            rejects = read_part(self.store, name)
        except FileNotFoundError:
            self.result.fault(
                "the file of rejects of the part is missing", f"{self.store.url}/{name}", _RERUN
            )
            return None
        except Damaged as error:
            self.result.fault(error.what, error.where, _RERUN)
            return None
        if rejects.num_rows != row_counts.rejected:
            self.result.fault(
                f"the file holds {rejects.num_rows} rejects, but the row counts state {row_counts.rejected}",
                where,
            )
        return rejects.column("id")

    def _check_ids(self, number: int, rows: pa.Table, where: str) -> None:
        """Collect the ids of a table's own rows, and check the order of ids that refer to another table."""
        ids = rows.column("id")
        base = self.manifest.base
        if self.table.has_own_rows:
            self.ids.append(ids)
            if self.manifest.kind != "children":
                return
            previous = Table(self.store, self.manifest.inputs[0])
            base, ids = previous.manifest.base or previous.folder, rows.column("parent")
        try:
            base_part = read_part(self.store, f"{base}/{part_name(number)}", ["id"])
        except FileNotFoundError:
            self.result.fault(f"the corresponding part of {base} is missing", where, _RERUN)
            return
        except Damaged:
            return  # the check of that table reports it
        at = pc.index_in(ids, value_set=base_part.column("id").combine_chunks()).combine_chunks()
        in_order = pc.greater_equal if self.table.has_own_rows else pc.greater
        if at.null_count:
            self.result.fault(f"{at.null_count} rows of the part are not in {base}", where)
        elif len(at) > 1 and not pc.all(in_order(at[1:], at[:-1])).as_py():
            self.result.fault(f"the rows of the part are not in the order of {base}", where)

    def _check_artifacts(self, column: pa.ChunkedArray, where: str) -> None:
        """Check that each file exists with its size and, with `deep`, its digest."""
        for row in column.drop_null().to_pylist():
            artifact = Artifact(store=self.store, **row)
            if artifact.path in self.result.artifacts:
                continue
            self.result.artifacts.add(artifact.path)
            at = f"{self.store.url}/{artifact.path}, named in {where}"
            try:
                size = self.store.size(artifact.path)
                if size != artifact.size_bytes:
                    what = f"an artifact has {size} bytes, but {artifact.size_bytes} were stored"
                    self.result.fault(what, at, "restore it, or delete it and run the recipe again")
                elif self.deep:
                    artifact.read()
            except FileNotFoundError:
                remedy = "restore the file, or run the recipe again: it makes this row again"
                self.result.fault("an artifact is missing", at, remedy)
            except ManifestError as error:
                self.result.fault(error.what, at, error.remedy)
