"""What a store holds: its tables, whole or begun, and whatever else lies there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from manifests.errors import ManifestError
from manifests.manifest import FORMAT, Manifest, newer, read_begun, read_manifest
from manifests.store import Store
from manifests.stores import open_store
from manifests.table import part_name, parts_of, read_part

STORE_FILE = "store.json"
RUNS = "runs"
_OURS = {STORE_FILE, RUNS, "lease.json", "retries"}
_MARKS = ("manifest.json", "table.json")


@dataclass(frozen=True)
class Table:
    """A table in its place."""

    store: Store
    folder: str

    @cached_property
    def manifest(self) -> Manifest:
        """What is known of it: all, where it is whole; else all but its parts."""
        found = self.closed or read_begun(self.store, self.folder)
        if found is None:
            raise ManifestError("this folder is no table", where=f"{self.store.url}/{self.folder}")
        return found

    @cached_property
    def closed(self) -> Manifest | None:
        """Its manifest, or None while it is not whole."""
        return read_manifest(self.store, self.folder)

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers of the parts that stand."""
        return parts_of(self.store, self.folder)

    @property
    def makes_rows(self) -> bool:
        """Whether its rows are its own, and not columns of another table's rows."""
        return not self.manifest.base

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows of all parts that stand."""
        parts = [
            read_part(self.store, f"{self.folder}/{part_name(n)}", columns).replace_schema_metadata(None)
            for n in self.numbers
        ]
        return pa.concat_tables(parts) if parts else pa.table({"id": pa.array([], pa.string())})


def is_table(store: Store, folder: str) -> bool:
    return any(store.exists(f"{folder}/{mark}" if folder else mark) for mark in _MARKS)


def tables_of(store: Store) -> list[Table]:
    """The tables of a store, each after those it was made from."""
    found = {name: Table(store, name) for name in store.names() if is_table(store, name)}
    placed: dict[str, Table] = {}
    for name in sorted(found):
        _place(name, found, placed, set())
    return list(placed.values())


def _place(name: str, found: dict[str, Table], placed: dict[str, Table], above: set[str]) -> None:
    if name not in found or name in placed or name in above:
        return
    try:
        before = found[name].manifest.inputs
    except ManifestError:
        before = ()
    for folder in before:
        _place(folder, found, placed, above | {name})
    placed[name] = found[name]


def strangers(store: Store) -> Iterator[str]:
    """What lies at the top of a store and is neither a table nor a store's own."""
    for name in store.names():
        if name not in _OURS and not is_table(store, name):
            yield name


def opened(url: str) -> tuple[Store, str]:
    """The store at `url` and "", or, where `url` is one of its tables, the store and the folder.

    Raises:
        ManifestError: there is no store and no table.
        NewerFormat: a newer clipmill wrote it.
    """
    store = open_store(url)
    folder = ""
    if is_table(store, ""):
        above, _, folder = store.url.rpartition("/")
        store = open_store(above)
    if store.exists(STORE_FILE):
        _check_format(store)
    elif not folder and not any(is_table(store, name) for name in store.names()):
        raise ManifestError(
            "there is no store and no table here",
            where=store.url,
            remedy="give the folder or URL that `clipmill run` was given as store=, or a table inside it",
        )
    return store, folder


def _check_format(store: Store) -> None:
    where = f"{store.url}/{STORE_FILE}"
    try:
        seen = int(json.loads(store.read(STORE_FILE))["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"this is not a store's file: {error}", where=where) from error
    if seen > FORMAT:
        raise newer(where, seen)
