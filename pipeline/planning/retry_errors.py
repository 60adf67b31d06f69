"""Retries rows on which a stage failed, by giving their table a new key.

STORE/retries/KEY   one file for each replaced table, named by its run key

Tables are never changed. A table with error rows gets a successor whose run key is derived from its own key.
Good rows are copied from the old table, as from any table with the same content key; all other rows are
processed again. From then on every plan in this store uses the successor. A table whose deleted files cannot
be made again with equal bytes is replaced in the same way.
"""

from collections.abc import Iterator

from manifests.manifest import read_manifest
from manifests.rows.reject import RejectRow
from manifests.schema import rows_of
from manifests.store import Store
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts
from pipeline.planning.plan import RETRIES, Plan, Step


def retry_errors(plan: Plan) -> dict[str, int]:
    """Mark the tables that hold rows on which a stage failed as replaced, and return the row counts by step.

    Rejected rows and rows that killed their workers do not cause a replacement, but a successor processes
    them again.
    """
    failed = failed_rows(plan)
    for name in failed:
        plan.store.create(f"{RETRIES}/{plan[name].keys.run}", b"")
    return failed


def failed_rows(plan: Plan) -> dict[str, int]:
    """Count the rows on which stages failed, by step; steps without such rows are left out."""
    found = {step.name: _errors(plan.store, step) for step in plan if step.kind in ("layer", "children")}
    return {name: rows for name, rows in found.items() if rows}


def _errors(store: Store, step: Step) -> int:
    count = 0
    for row_counts in _row_counts(store, step.folder):
        if row_counts.errors:
            rejects = rows_of(read_part(store, f"{step.folder}/{row_counts.rejects}"), RejectRow)
            count += sum(row.kind == "error" for row in rejects)
    return count


def _row_counts(store: Store, folder: str) -> Iterator[RowCounts]:
    """The row counts of the parts of a table: from its manifest, or of each part if it is not complete."""
    manifest = read_manifest(store, folder)
    if manifest:
        yield from (part.row_counts for part in manifest.parts)
    else:
        yield from (read_row_counts(store, f"{folder}/{part_name(n)}") for n in parts_of(store, folder))
