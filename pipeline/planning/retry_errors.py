"""Retrying: rows that a stage failed on are worked on again, under a key of their own.

STORE/retries/KEY   stands for each table that was given up for another one, by its run key

A table is never changed. One with errors in it gets a successor, whose run key is made of its own; good
rows are copied from it, as from any table with the same content key, and all others are asked again.
From then on every plan in this store goes to the successor.
"""

from manifests.rows.reject import RejectRow
from manifests.schema import rows_of
from manifests.store import Store
from manifests.table import part_name, parts_of, read_part, read_row_counts
from pipeline.planning.plan import RETRIES, Plan, Step


def retry_errors(plan: Plan) -> dict[str, int]:
    """Give up the tables that hold rows on which a stage failed; how many rows, by step.

    Rows that a stage refused, or that killed their workers, are no reason to; they are asked again as well.
    """
    found = {step.name: _errors(plan.store, step) for step in plan if step.kind in ("layer", "children")}
    failed = {name: rows for name, rows in found.items() if rows}
    for name in failed:
        plan.store.create(f"{RETRIES}/{plan[name].keys.run}", b"")
    return failed


def _errors(store: Store, step: Step) -> int:
    count = 0
    for number in parts_of(store, step.folder):
        row_counts = read_row_counts(store, f"{step.folder}/{part_name(number)}")
        if row_counts.errors:
            rejects = rows_of(read_part(store, f"{step.folder}/{row_counts.rejects}"), RejectRow)
            count += sum(row.kind == "error" for row in rejects)
    return count
