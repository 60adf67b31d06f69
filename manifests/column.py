"""A column: a dataclass field with a meaning and a unit."""

from dataclasses import MISSING, field
from typing import Any


def column(
    meaning: str, *, unit: str = "", key: bool = False, by_id: bool = False, default: Any = MISSING
) -> Any:
    """Declare one column of a `Row`.

    Args:
        meaning: What the value means, in a few words. Written into the Parquet schema.
        unit: "s", "px", "px/frame", "0..1", "1" and so on. Required for floats; empty for names and flags.
        key: The value is part of the row's identity: a child's id is a digest of its parent's id and the
            values of its key columns.
        by_id: The row's id determines the value, independent of the settings of the stage that made the row,
            such as the frame numbers of a clip. Key columns always have this property.
        default: Value that a stage reads if no step adds the column. Without a default the column is
            required.
    """
    return field(
        default=default, metadata={"meaning": meaning, "unit": unit, "key": key, "by_id": key or by_id}
    )
