"""Checking tables: every promise of the format, asked again of the files themselves.

A fault is a broken promise. A note is nothing wrong: a table not finished yet, or files that a
killed attempt left behind and no row names.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from manifests.artifact import Artifact
from manifests.catalogue import Table, strangers
from manifests.errors import Damaged, ManifestError
from manifests.manifest import Part, columns_of
from manifests.schema import ARTIFACT
from manifests.store import Store
from manifests.table import RowCounts, part_name, read_part, read_row_counts

_AGAIN = "take it away together with the table's manifest.json, and run again: only this is made anew"
_DEFECT = "this is a defect of clipmill or of a stage; keep the store and report it"
_SURVEY = ("tally/", "assigned/", "settled/", "fitted.bin")


@dataclass(frozen=True)
class Fault:
    """A promise that does not hold."""

    what: str
    where: str
    remedy: str


@dataclass
class Checked:
    """What was looked at, and what was found."""

    tables: int = 0
    parts: int = 0
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artifacts: set[str] = field(default_factory=set)  # the files that rows name

    def fault(self, what: str, where: str, remedy: str = _DEFECT) -> None:
        self.faults.append(Fault(what, where, remedy))


class Proof(Protocol):
    """Asks more of one table, and notes the faults."""

    def __call__(self, table: Table, found: Checked, *, quick: bool) -> None: ...


def check(
    store: Store,
    tables: Iterable[Table],
    *,
    deep: bool = False,
    whole_store: bool = True,
    proofs: Mapping[str, Proof] = MappingProxyType({}),
    quick: bool = False,
    look: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Check tables, and with `whole_store` also what else lies in the store.

    Args:
        deep: read every artifact and compare its digest, not only its size.
        proofs: for stages, as manifests name them, what there is to prove beyond the format.
        quick: let proofs leave out what takes long.
        look: told the folder of each table before it is checked.
    """
    found, listed = Checked(), list(tables)
    explained: dict[str, set[str]] = {}
    for table in listed:
        look(table.folder)
        found.tables += 1
        try:
            explained[table.folder] = _Check(table, found, deep).run()
            proof = proofs.get(str(table.manifest.made_by.get("stage")))
            if proof and table.closed:
                proof(table, found, quick=quick)
        except ManifestError as error:
            found.fault(error.what, error.where or f"{store.url}/{table.folder}", error.remedy)
    if whole_store:
        for name in strangers(store):
            found.notes.append(f"{name} is no part of the store")
        for folder, names in explained.items():
            _leftovers(store, folder, names, found)
    return found


def _leftovers(store: Store, folder: str, explained: set[str], found: Checked) -> None:
    """Name the files of a whole table that nothing names."""
    loose = [n for n in store.walk(folder) if n not in explained and n not in found.artifacts]
    left = [n for n in loose if n.startswith((f"{folder}/artifacts/", f"{folder}/rejects/"))]
    if left:
        found.notes.append(f"{folder}: {len(left)} files that a killed attempt left, such as {left[0]}")
    found.notes += [f"{name} is no part of its table" for name in loose if name not in left]


class _Check:
    """The checks of one table."""

    def __init__(self, table: Table, found: Checked, deep: bool) -> None:
        self.table, self.found, self.deep = table, found, deep
        self.store, self.folder, self.manifest = table.store, table.folder, table.manifest
        self.explained = {f"{table.folder}/{name}" for name in ("manifest.json", "table.json", "README.md")}
        self.ids: list[pa.ChunkedArray] = []

    def run(self) -> set[str]:
        """The names of the files in the folder that belong there, artifacts aside."""
        closed = self.table.closed
        if closed is None:
            self.found.notes.append(f"{self.folder} is not finished: {len(self.table.numbers)} parts stand")
        told = {part.number: part for part in closed.parts} if closed else {}
        for number in sorted(set(told) | set(self.table.numbers)):
            self._part(number, told.get(number))
        if self.table.makes_rows and self.ids:
            ids = pa.chunked_array([chunk for column in self.ids for chunk in column.chunks], pa.string())
            twice = len(ids) - pc.count_distinct(ids, mode="all").as_py()
            if twice:
                self.found.fault(f"{twice} ids stand more than once", f"{self.store.url}/{self.folder}")
        if closed is None:
            return set(self.store.walk(self.folder))
        inner = tuple(f"{self.folder}/{name}" for name in _SURVEY)
        if self.manifest.kind == "survey":
            self.explained |= {n for n in self.store.walk(self.folder) if n.startswith(inner)}
        return self.explained

    def _part(self, number: int, told: Part | None) -> None:
        name = f"{self.folder}/{part_name(number)}"
        self.explained.add(name)
        where = f"{self.store.url}/{name}"
        if number not in self.table.numbers:
            remedy = f"take {self.folder}/manifest.json away and run again: only this part is made anew"
            self.found.fault("a part of the manifest is missing", where, remedy)
            return
        if self.table.closed and told is None:
            self.found.fault("a part stands that the manifest does not name", where, "take it away")
        if told is not None and not self._is(name, told):
            self.found.fault("it is not the file that the manifest names", where, _AGAIN)
            return  # whatever else is wrong with it follows from that
        try:
            rows, row_counts = read_part(self.store, name), read_row_counts(self.store, name)
        except Damaged as error:
            self.found.fault(error.what, where, _AGAIN)
            return
        if told is not None and row_counts != told.row_counts:
            self.found.fault("its row_counts are not those in the manifest", where)
        self.found.parts += 1
        self.found.rows += rows.num_rows
        if columns_of(rows.schema) != self.manifest.columns:
            self.found.fault("its columns are not those of the table", where)
        self._books(number, rows, row_counts, where)
        self._ids(number, rows, where)
        for column in rows.schema:
            if column.type == ARTIFACT:
                self._artifacts(rows.column(column.name), where)

    def _is(self, name: str, told: Part) -> bool:
        data = self.store.read(name)
        return len(data) == told.size_bytes and hashlib.sha256(data).hexdigest() == told.sha256

    def _books(self, number: int, rows: pa.Table, row_counts: RowCounts, where: str) -> None:
        """Rows in = passed + dropped + rejected, and each number is what the files hold."""
        kind = self.manifest.kind
        if kind != "source" and not row_counts.balance():
            self.found.fault(f"{row_counts.rows_in} rows entered, and not as many left: {row_counts}", where)
        out = {"layer": row_counts.passed, "survey": row_counts.passed, "drops": row_counts.dropped}
        if not rows.num_rows == row_counts.rows_out == out.get(kind, row_counts.rows_out):
            self.found.fault(
                f"{rows.num_rows} rows stand, and the row_counts say otherwise: {row_counts}", where
            )
        came = self._sent(number)
        if came is not None and came != row_counts.rows_in:
            self.found.fault(f"{came} rows were sent here, and {row_counts.rows_in} came", where)
        aside = self._rejects(row_counts, where)
        own = rows.column("parent" if kind == "children" else "id")
        if aside is not None and pc.any(pc.is_in(aside, value_set=own.combine_chunks())).as_py():
            self.found.fault("a row is both kept and among the rejects", where)

    def _sent(self, number: int) -> int | None:
        """How many rows the step before let pass into this part; None where that cannot be said."""
        if len(self.manifest.inputs) != 1 or self.manifest.kind in ("source", "model"):
            return None
        before = self.manifest.inputs[0]
        try:
            row_counts = read_row_counts(self.store, f"{before}/{part_name(number)}")
        except (FileNotFoundError, Damaged):
            return None  # said where that table is checked
        return row_counts.rows_out if not Table(self.store, before).manifest.base else row_counts.passed

    def _rejects(self, row_counts: RowCounts, where: str) -> pa.ChunkedArray | None:
        """The ids of the rejects of a part."""
        if not row_counts.rejects:
            if row_counts.rejected:
                self.found.fault(f"{row_counts.rejected} rows were rejected, and no file names them", where)
            return None
        name = f"{self.folder}/{row_counts.rejects}"
        self.explained.add(name)
        try:
            aside = read_part(self.store, name)
        except FileNotFoundError:
            self.found.fault("the file of its rejects is missing", f"{self.store.url}/{name}", _AGAIN)
            return None
        except Damaged as error:
            self.found.fault(error.what, error.where, _AGAIN)
            return None
        if aside.num_rows != row_counts.rejected:
            self.found.fault(
                f"{aside.num_rows} rejects stand, and the row_counts say {row_counts.rejected}", where
            )
        return aside.column("id")

    def _ids(self, number: int, rows: pa.Table, where: str) -> None:
        """Ids are unique, and a layer's stand in the order of the rows that they belong to."""
        ids = rows.column("id")
        base = self.manifest.base
        if self.table.makes_rows:
            self.ids.append(ids)
            if self.manifest.kind != "children":
                return
            before = Table(self.store, self.manifest.inputs[0])
            base, ids = before.manifest.base or before.folder, rows.column("parent")
        try:
            above = read_part(self.store, f"{base}/{part_name(number)}", ["id"])
        except FileNotFoundError:
            self.found.fault(f"the part of {base} that it belongs to is missing", where, _AGAIN)
            return
        except Damaged:
            return  # said where that table is checked
        at = pc.index_in(ids, value_set=above.column("id").combine_chunks()).combine_chunks()
        in_order = pc.greater_equal if self.table.makes_rows else pc.greater
        if at.null_count:
            self.found.fault(f"{at.null_count} of its rows are not in {base}", where)
        elif len(at) > 1 and not pc.all(in_order(at[1:], at[:-1])).as_py():
            self.found.fault(f"its rows are not in the order of {base}", where)

    def _artifacts(self, column: pa.ChunkedArray, where: str) -> None:
        """Each file that a row names is there, with its size and, if asked, its digest."""
        for row in column.drop_null().to_pylist():
            artifact = Artifact(store=self.store, **row)
            if artifact.path in self.found.artifacts:
                continue
            self.found.artifacts.add(artifact.path)
            at = f"{self.store.url}/{artifact.path}, named in {where}"
            try:
                size = self.store.size(artifact.path)
                if size != artifact.size_bytes:
                    what = f"an artifact has {size} bytes, and {artifact.size_bytes} were stored"
                    self.found.fault(
                        what, at, "put the stored file back, or take the part away and run again"
                    )
                elif self.deep:
                    artifact.read()
            except FileNotFoundError:
                what, remedy = "an artifact is missing", "put it back, or take the part away and run again"
                self.found.fault(what, at, remedy)
            except ManifestError as error:
                self.found.fault(error.what, at, error.remedy)
