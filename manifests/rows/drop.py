"""A drop: a row that a rule of the recipe removed."""

from manifests.column import column
from manifests.row import Row


class DropRow(Row):
    """One row of the table of a rule."""

    id: str = column("id of the dropped row")
    rule: str = column("reason of the rule, from the recipe")
    where: str = column("predicate that the row did not meet")
    value: str = column("values that the predicate read, such as motion_mean=0.12")
