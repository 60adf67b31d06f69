"""A column: a dataclass field that carries its unit and its meaning."""

from dataclasses import MISSING, field
from typing import Any


def column(
    meaning: str, *, unit: str = "", key: bool = False, by_id: bool = False, default: Any = MISSING
) -> Any:
    """Declare one column of a `Row`.

    Args:
        meaning: what the value says, in a few words; written into the Parquet schema.
        unit: "s", "px", "px/frame", "0..1", "1" …; required for floats, empty for names and flags.
        key: the value is part of the row's identity: a child's id is made of its parent's id and
            the values of its key columns.
        by_id: the value follows from the row's id, whatever the settings of the stage that found the
            row (the frame numbers of a clip, say); key columns do so anyway.
        default: value for rows that lack it, which a stage reads where no step adds it; none: required.
    """
    return field(
        default=default, metadata={"meaning": meaning, "unit": unit, "key": key, "by_id": key or by_id}
    )
