"""The tables of a store, complete or unfinished, and the names in it that belong to no table."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from manifests.errors import ManifestError
from manifests.format import STORE_FILE, check_store
from manifests.manifest import HEADER_FILE, MANIFEST_FILE, Manifest, read_header, read_manifest
from manifests.store import Store
from manifests.stores import open_store
from manifests.table import part_name, parts_of, read_part

RUNS = "runs"
_STORE_NAMES = {STORE_FILE, RUNS, "lease.json", "retries", "accepted_code"}


@dataclass(frozen=True)
class Table:
    """A table and the store that holds it."""

    store: Store
    folder: str

    @cached_property
    def manifest(self) -> Manifest:
        """The complete manifest, or the header (a manifest without parts) while the table is unfinished.

        Raises:
            ManifestError: the folder is not a table.
        """
        manifest = self.complete_manifest or read_header(self.store, self.folder)
        if manifest is None:
            raise ManifestError(
                "this folder is not a table",
                where=f"{self.store.url}/{self.folder}",
                remedy="`clipmill manifest show STORE` lists the tables of a store",
            )
        return manifest

    @cached_property
    def complete_manifest(self) -> Manifest | None:
        """The content of `manifest.json`; None while the table is unfinished."""
        return read_manifest(self.store, self.folder)

    @cached_property
    def part_numbers(self) -> list[int]:
        """The numbers of the parts that exist."""
        return parts_of(self.store, self.folder)

    @property
    def has_own_rows(self) -> bool:
        """Whether the table has rows of its own; otherwise it adds columns to the rows of another table."""
        return not self.manifest.base

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read the rows of all parts that exist."""
        parts = [
            read_part(self.store, f"{self.folder}/{part_name(n)}", columns).replace_schema_metadata(None)
            for n in self.part_numbers
        ]
        return pa.concat_tables(parts) if parts else pa.table({"id": pa.array([], pa.string())})


def is_table(store: Store, folder: str) -> bool:
    """Whether a folder of the store is a table; "" is the store's own folder."""
    prefix = f"{folder}/" if folder else ""
    return any(store.exists(f"{prefix}{name}") for name in (MANIFEST_FILE, HEADER_FILE))


def tables_of(store: Store) -> list[Table]:
    """The tables of a store in topological order: each table follows its inputs."""
    tables = {name: Table(store, name) for name in store.names() if is_table(store, name)}
    ordered: dict[str, Table] = {}
    for name in sorted(tables):
        _append_after_inputs(name, tables, ordered, set())
    return list(ordered.values())


def _append_after_inputs(
    name: str, tables: dict[str, Table], ordered: dict[str, Table], ancestors: set[str]
) -> None:
    if name not in tables or name in ordered or name in ancestors:
        return
    try:
        inputs = tables[name].manifest.inputs
    except ManifestError:
        inputs = ()
    for folder in inputs:
        _append_after_inputs(folder, tables, ordered, ancestors | {name})
    ordered[name] = tables[name]


def unknown_names(store: Store) -> Iterator[str]:
    """The names at the top level of a store that are neither tables nor written by clipmill."""
    for name in store.names():
        if name not in _STORE_NAMES and not is_table(store, name):
            yield name


def open_store_or_table(url: str) -> tuple[Store, str]:
    """Open a store, or a table of a store.

    Returns:
        The store, and the folder of the table; the folder is "" if `url` is a store.

    Raises:
        ManifestError: there is no store and no table at `url`.
        OlderFormat, NewerFormat: another version of clipmill wrote the store.
    """
    store = open_store(url)
    folder = ""
    if is_table(store, ""):
        parent, _, folder = store.url.rpartition("/")
        store = open_store(parent)
    if store.exists(STORE_FILE):
        check_store(store)
    elif not folder and not any(is_table(store, name) for name in store.names()):
        raise ManifestError(
            "there is no store and no table here",
            where=store.url,
            remedy="give the value of store= of `clipmill run`, or a table folder inside that store",
        )
    return store, folder
