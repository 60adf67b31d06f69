"""Tables for people and JSON for machines: how every benchmark prints what it found."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns; the first to the left."""
    text = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in text
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}


def write_json(path: str | None, found: Mapping[str, Any]) -> None:
    """Write the findings and the machine they were made on, if a path is given."""
    if path:
        Path(path).write_text(json.dumps({**found, "machine": machine()}, indent=1))
