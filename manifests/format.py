"""The version of the store format, and the check that this version of clipmill reads it.

A version is the JSON number MAJOR.MINOR with one minor digit. A new minor version renames columns, stages or
keys of JSON members, so a table of another version is never read or extended.
"""

import json

from manifests.errors import Damaged, InvalidSetting, NewerFormat, OlderFormat, UnknownName
from manifests.store import Store
from manifests.stores import open_store
from manifests.stores.folder import FolderStore

FORMAT = 1.1
STORE_FILE = "store.json"


def open_checked_store(url: str) -> Store:
    """Open the store at a path or URL, whether or not it exists yet. Writes nothing.

    Raises:
        InvalidSetting: the path is a file.
        OlderFormat: an older clipmill wrote the store.
        NewerFormat: a newer clipmill wrote the store.
        Damaged: `store.json` is not a JSON object with a format.
    """
    store = open_store(url)
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
        version = float(json.loads(store.read(STORE_FILE))["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{STORE_FILE} does not state a store format: {error}",
            where=where,
            remedy="use another folder as the store",
        ) from error
    check_format(version, store.url, where)


def check_format(version: float, store: str, where: str) -> None:
    """Check the format version that a file of the store at URL `store` states.

    Raises:
        OlderFormat: the version is lower than `FORMAT`.
        NewerFormat: the version is higher than `FORMAT`.
    """
    if version < FORMAT:
        raise OlderFormat(
            f"store {store} was written in format {float(version)} and this version writes {FORMAT};"
            " column and stage names changed",
            remedy="run the recipe again with a new store folder",
        )
    if version > FORMAT:
        raise NewerFormat(
            f"this store has format {float(version)}, and this version of clipmill reads format {FORMAT}",
            where=where,
            remedy="install the version of clipmill that wrote it, or choose another store",
        )


def format_text() -> bytes:
    """The content of `store.json` of a new store."""
    return json.dumps({"format": FORMAT}).encode()
