"""The contract of a stage that adds columns to rows that belong together, such as cameras of a recording."""

from typing import ClassVar, Generic, TypeVar

from manifests import Row
from pipeline.stage import Annotate, Expand

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)


class AnnotateGroups(Annotate[In, Out], Generic[In, Out]):
    """Adds columns to the rows of a group, which `annotate` receives together, in the order of their table.

    All rows of a group are in one part, so the step is no barrier. A row is missing in its group if an
    earlier step dropped or rejected it. A raised exception rejects all rows of the group. Columns are
    computed again whenever the rows before the step change, so such a stage is fast and sets `from_store`.

    Attributes:
        group_by: A column that the stage reads: `parent`, or one declared with `column(…, group=True)`.
    """

    group_by: ClassVar[str] = "parent"
    from_store = True


def is_made_again(work: object) -> bool:
    """Whether the columns of a stage are computed again whenever the rows before it change."""
    return isinstance(work, AnnotateGroups) or (isinstance(work, Expand) and work.from_listing)
