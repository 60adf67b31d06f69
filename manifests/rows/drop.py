"""A drop: a row that a rule of the recipe took out."""

from manifests.column import column
from manifests.row import Row


class DropRow(Row):
    """One row of the table of what a rule dropped."""

    id: str = column("the row that was dropped")
    rule: str = column("the reason that the recipe gives for the rule")
    where: str = column("the predicate that the row did not meet")
    value: str = column("the values that decided, such as motion_mean=0.12")
