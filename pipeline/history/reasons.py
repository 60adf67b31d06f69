"""Why a stage rejected rows or failed on them."""

from collections import Counter
from collections.abc import Iterable

from manifests.store import Store
from manifests.table import RowCounts, read_part
from pipeline.history.formatting import printable

_MAX_FILES = 24  # files of rejects that are read


def most_frequent_reason(store: Store, folder: str, parts: Iterable[RowCounts], *, errors: bool) -> str:
    """The most frequent reason in printable characters, as in `reason_and_row`."""
    return reason_and_row(store, folder, parts, errors=errors)[0]


def reason_and_row(store: Store, folder: str, parts: Iterable[RowCounts], *, errors: bool) -> tuple[str, str]:
    """The most frequent reason in the first parts with rejected rows, and a row with it; "" if there is none.

    Args:
        store: The store.
        folder: Folder of the table.
        parts: Row counts of its existing parts, in order.
        errors: Whether to read the rows on which the stage failed, and not those that it refused.
    """
    reasons: Counter[str] = Counter()
    ids: dict[str, str] = {}
    files = 0
    for counts in parts:
        if not (counts.errors if errors else counts.rejected - counts.errors):
            continue
        rejects = read_part(store, f"{folder}/{counts.rejects}", ["id", "kind", "reason"])
        for row in rejects.to_pylist():
            if (row["kind"] != "reject") == errors:
                reasons[row["reason"]] += 1
                ids.setdefault(row["reason"], row["id"])
        files += 1
        if files == _MAX_FILES:
            break
    reason = min(reasons, key=lambda reason: (-reasons[reason], reason), default="")
    return printable(reason), ids.get(reason, "")
