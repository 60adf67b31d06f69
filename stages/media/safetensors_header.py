"""Reads the header of a safetensors file without its tensors."""

import json
from typing import Any


def read_header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its length in eight bytes, then JSON."""
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header
