"""The version of the store format, and the check that this version of clipmill reads it.

A version is the JSON number MAJOR.MINOR with one minor digit. From 1.1 on, a new minor version only adds to
the format: this version reads the earlier ones, a run continues their tables, and raises the version of the
store. A later version is refused, because an older clipmill would not see what was added.
"""

import json
from importlib import metadata
from typing import Any

from manifests.errors import Damaged, InvalidSetting, NewerFormat, OlderFormat, UnknownName
from manifests.store import Store
from manifests.stores import open_store
from manifests.stores.folder import FolderStore

FORMAT = 1.2
OLDEST_FORMAT = 1.1  # that this version reads; 1.1 renamed stages, columns and keys of JSON members
_NO_FORMAT = 1000.0  # no version is as large; NaN is not smaller
STORE_FILE = "store.json"


def open_checked_store(url: str, max_patience_s: float | None = None) -> Store:
    """Open the store at a path or URL, as `open_store`, whether or not it exists yet. Writes nothing.

    Raises:
        InvalidSetting: the path is a file.
        OlderFormat: an older clipmill wrote the store.
        NewerFormat: a newer clipmill wrote the store.
        Damaged: `store.json` is not a JSON object with a format.
    """
    store = open_store(url, max_patience_s)
    if isinstance(store, FolderStore):
        existing = next(path for path in (store.root, *store.root.parents) if path.exists())
        if not existing.is_dir():
            raise InvalidSetting(
                "the store is a file, but a store is a folder", where=str(existing), remedy="name a folder"
            )
    if store.exists(STORE_FILE):
        check_store(store)
    return store


def check_exists(store: Store) -> None:
    """Check that the folder of a store exists; a store at a URL is not checked.

    Raises:
        UnknownName: there is no such folder.
    """
    if isinstance(store, FolderStore) and not store.root.exists():
        raise UnknownName(
            "the store does not exist",
            where=str(store.root),
            remedy="check the path; a run makes a new store: clipmill run RECIPE store=DIR",
        )


def check_store(store: Store) -> None:
    """Check the format of a store that has a `store.json`; raises as `open_checked_store`."""
    where = f"{store.url}/{STORE_FILE}"
    try:
        head = json.loads(store.read(STORE_FILE))
        version, writer = stated_format(head), str(head.get("clipmill", ""))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(
            f"{STORE_FILE} does not state a store format: {error}",
            where=where,
            remedy="use another folder as the store",
        ) from error
    check_format(version, store.url, where, writer)


def stated_format(content: Any) -> float:
    """The format version in the content of a JSON file.

    Raises:
        ValueError, KeyError, TypeError: it states none.
    """
    version = content["format"]
    if not 0 < version < _NO_FORMAT:
        raise ValueError(f"{version} is no format")
    return float(version)


def check_format(version: float, store: str, where: str, writer: str = "") -> None:
    """Check the format version that a file of the store at URL `store` states.

    Args:
        version: The format version.
        store: URL of the store.
        where: URL of the file.
        writer: The version of clipmill that wrote the file, if it is known.

    Raises:
        OlderFormat: the version is lower than `OLDEST_FORMAT`.
        NewerFormat: the version is higher than `FORMAT`.
    """
    if version < OLDEST_FORMAT:
        raise OlderFormat(
            f"store {store} was written in format {version} and this version reads formats from"
            f" {OLDEST_FORMAT} on; column and stage names changed",
            remedy="run the recipe again with a new store folder",
        )
    if version > FORMAT:
        by = f", written by clipmill {writer}" if writer else ""
        wanted = f"clipmill>={writer}" if writer else "clipmill"
        raise NewerFormat(
            f"this store has format {version}{by}, and this version of clipmill ({_version()}) reads"
            f" formats {OLDEST_FORMAT} to {FORMAT}",
            where=where,
            remedy=f"install a version that reads it: pip install --upgrade '{wanted}'; or use another store",
        )


def mark_store(store: Store) -> None:
    """State the format of this version in `store.json`, before a run writes into the store.

    An older clipmill refuses the store from then on. A store of this format is not changed.
    """
    try:
        found = store.read(STORE_FILE)
    except FileNotFoundError:
        store.create(STORE_FILE, format_text())
        return
    if stated_format(json.loads(found)) < FORMAT:
        store.replace_if(STORE_FILE, found, format_text())


def format_text() -> bytes:
    """The content of `store.json` of a new store."""
    return json.dumps({"format": FORMAT, "clipmill": _version()}).encode()


def _version() -> str:
    """The version of clipmill that is installed."""
    try:
        return metadata.version("clipmill")
    except metadata.PackageNotFoundError:
        return ""
