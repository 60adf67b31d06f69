"""Why a stage rejected rows or failed on them."""

from collections import Counter
from collections.abc import Iterable

from manifests.store import Store
from manifests.table import part_name, read_part, read_row_counts
from pipeline.history.formatting import printable

_MAX_FILES = 24  # files of rejects that are read


def most_frequent_reason(store: Store, folder: str, numbers: Iterable[int], *, errors: bool) -> str:
    """The most frequent reason in the first parts with rejected rows, in printable characters; "" if none.

    Args:
        store: The store.
        folder: Folder of the table.
        numbers: Numbers of its existing parts.
        errors: Whether to read the rows on which the stage failed, and not those that it refused.
    """
    reasons: Counter[str] = Counter()
    files = 0
    for number in sorted(numbers):
        counts = read_row_counts(store, f"{folder}/{part_name(number)}")
        if not (counts.errors if errors else counts.rejected - counts.errors):
            continue
        rejects = read_part(store, f"{folder}/{counts.rejects}", ["kind", "reason"])
        rows = zip(rejects["kind"].to_pylist(), rejects["reason"].to_pylist(), strict=True)
        reasons.update(reason for kind, reason in rows if (kind != "reject") == errors)
        files += 1
        if files == _MAX_FILES:
            break
    return printable(min(reasons, key=lambda reason: (-reasons[reason], reason), default=""))
