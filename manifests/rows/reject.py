"""A reject: a row set aside because it, or the stage's work on it, was at fault."""

from manifests.column import column
from manifests.row import Row


class RejectRow(Row):
    """One row of a part's file of rejects."""

    id: str = column("the row that was set aside")
    kind: str = column("reject: the stage refused it; error: the stage broke on it; crash: its process died")
    reason: str = column("why, in words that a user understands")
    detail: str = column("what the stage or the error said, on one line; empty where the reason says it all")
