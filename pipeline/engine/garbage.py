"""Deletes the tables, artifacts and runs of a store that its newest runs do not use.

A crash at any moment leaves a valid store, and the next call deletes the rest. Therefore the order is:

1. records of runs, `plan.json` first: no recorded run has a table that is gone
2. rows: each table before the tables that it reads; `manifest.json` first, so that it counts as unfinished
3. artifacts, which no row names any more
4. headers of tables
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from manifests.manifest import MANIFEST_FILE
from manifests.messages import closest_name, join_names
from manifests.store import Store
from pipeline.engine.lease import GC_PREFIX, Lease
from pipeline.errors import PipelineError, RecipeError, StoreHeld
from pipeline.history.lease_holder import EXPIRES_S
from pipeline.history.record import DONE, new_run
from pipeline.history.usage import INTERMEDIATE, StoreUse, is_header, is_table_file, store_use

# A deletion that waits for a store in an outage must end before a run can take the lease of a silent gc.
MAX_PATIENCE_S = EXPIRES_S / 2


@dataclass(frozen=True)
class Garbage:
    """What is kept and what is deleted.

    Attributes:
        use: The files of the store, and what uses them.
        kept: Why each kept run is kept, by its name.
        names: The files to delete.
    """

    use: StoreUse
    kept: dict[str, str]
    names: frozenset[str]

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs to delete."""
        return tuple(run for run in self.use.runs if run not in self.kept)

    @property
    def freed_bytes(self) -> int:
        """The bytes that deleting frees."""
        return self.use.freed_by(self.names)


def find_garbage(store: Store, keep: int, keep_runs: Collection[str] = ()) -> Garbage:
    """Find what the kept runs do not use. Writes nothing.

    Args:
        store: The store.
        keep: How many of the newest finished runs to keep. Runs that started after the newest finished one
            are kept too, because they can be continued.
        keep_runs: Further runs to keep.

    Raises:
        RecipeError: a run of `keep_runs` does not exist.
        PipelineError: there is no recorded run, or none is finished.
    """
    use = store_use(store)
    kept = _kept_runs(store, use, keep, keep_runs)
    used = frozenset[str]().union(*(use.runs[run].files for run in kept))
    names = {name for run in use.runs.values() if run.name not in kept for name in run.record}
    for files in use.table_folders().values():
        names.update(name for name in files if name not in used)
    return Garbage(use, kept, frozenset(names))


def delete_garbage(store: Store, keep: int, keep_runs: Collection[str] = ()) -> Garbage:
    """Find what the kept runs do not use, and delete it while this process holds the store.

    Raises:
        StoreHeld: a run holds the store.
        PipelineError: as `find_garbage`.
    """
    try:
        with Lease(store, f"{GC_PREFIX}{new_run()}") as lease:
            garbage = find_garbage(store, keep, keep_runs)
            _delete(store, garbage, lease)
            return garbage
    except StoreHeld as error:
        remedy = "wait for that run or stop it; gc never deletes beside a run"
        raise StoreHeld(error.what, where=error.where, remedy=remedy) from error


def _kept_runs(store: Store, use: StoreUse, keep: int, keep_runs: Collection[str]) -> dict[str, str]:
    for run in keep_runs:
        if run not in use.runs:
            hint = closest_name(run, use.runs)
            raise RecipeError(
                f"there is no run {run!r} in this store",
                where=store.url,
                remedy=f"did you mean {hint}?" if hint else f"runs: {join_names(list(use.runs)[-8:])}",
            )
    finished = [run.name for run in use.runs.values() if run.state == DONE]
    if not finished:
        raise PipelineError(
            "no run in this store is finished, so nothing can be deleted",
            where=store.url,
            remedy="finish a run first; or delete the folder of the store",
        )
    kept = {}
    for run in use.runs:
        if run in keep_runs:
            kept[run] = "named by --keep-run"
        elif run in finished[-keep:]:
            kept[run] = f"one of the newest {keep} finished runs" if keep > 1 else "the newest finished run"
        elif run > finished[-1]:
            kept[run] = "not finished, and newer than the newest finished run"
    return kept


def _delete(store: Store, garbage: Garbage, lease: Lease) -> None:
    """Delete the garbage. Stops before the next run or table if another run took the store."""
    use, names = garbage.use, garbage.names
    for run in garbage.runs:
        lease.check()
        record = use.runs[run].record & names
        store.remove_all(name for name in record if name.endswith("/plan.json"))
        store.remove_all(name for name in record if not name.endswith("/plan.json"))
        store.remove_folder(f"runs/{run}")
    by_folder = use.table_folders()
    rows: dict[str, list[str]] = {}
    headers, artifacts = [], []
    for folder in (*reversed(list(use.tables)), *(f for f in by_folder if f not in use.tables)):
        for name in by_folder[folder]:
            if name in names and is_header(folder, name):
                headers.append(name)
            elif name in names and is_table_file(folder, name):
                rows.setdefault(folder, []).append(name)
            elif name in names:
                artifacts.append(name)
    for folder, files in rows.items():
        lease.check()
        store.remove_all(name for name in files if name == f"{folder}/{MANIFEST_FILE}")
        store.remove_all(_rejects_last(folder, files))
    lease.check()
    store.remove_all(artifacts)
    store.remove_all(headers)
    for folder, files in by_folder.items():
        if names.issuperset(files):
            store.remove_folder(folder)
        elif f"{folder}/{MANIFEST_FILE}" in names:
            for inside in INTERMEDIATE:
                store.remove_folder(f"{folder}/{inside}".rstrip("/"))


def _rejects_last(folder: str, files: Iterable[str]) -> list[str]:
    """The files of rows of a table: parts before the files of rejects that they name."""
    others = [name for name in files if name != f"{folder}/{MANIFEST_FILE}"]
    return sorted(others, key=lambda name: "/rejects/" in name)
