"""A reject: a row that a stage refused or failed on."""

from manifests.column import column
from manifests.row import Row


class RejectRow(Row):
    """One row of the file of rejects of a part."""

    id: str = column("id of the rejected row")
    kind: str = column(
        "reject: the stage refused the row; error: the stage failed on it; crash: its process died"
    )
    reason: str = column("why the row was rejected, in words for the user")
    detail: str = column("message of the stage or the error, on one line; empty if the reason is complete")
