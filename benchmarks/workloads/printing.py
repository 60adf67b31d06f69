"""Prints the results of a benchmark as a table, and writes them as JSON."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A text table. The first column is aligned left, the others right."""
    text = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in text
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def machine() -> dict[str, Any]:
    """The machine of the measurement."""
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}


def write_json(path: str | None, results: Mapping[str, Any]) -> None:
    """Write the results and the machine as JSON, unless `path` is empty."""
    if path:
        Path(path).write_text(json.dumps({**results, "machine": machine()}, indent=1))
