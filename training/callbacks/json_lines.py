"""A file of JSON objects, one per line, each with its step, that survives kills and resumes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class JsonLines:
    """Appends lines.

    Args:
        file: Lines of steps after `step` are deleted, because these steps will run again.
        step: The step at which training resumes.
    """

    def __init__(self, file: Path, step: int = 0) -> None:
        self.file = file
        kept = [line for line in read_json_lines(file) if line["step"] <= step]
        temporary = file.with_name(file.name + ".new")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        temporary.rename(file)

    def append(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a line."""
        with self.file.open("a") as opened:
            opened.write(json.dumps({"step": step} | dict(values)) + "\n")


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """Read the lines. A line that a kill left incomplete is ignored."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
