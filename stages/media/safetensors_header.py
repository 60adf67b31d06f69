"""Reads the header of a safetensors file without its tensors."""

import json
from typing import Any

from manifests import Artifact


def read_header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its length in eight bytes, then JSON."""
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def read_header_of(artifact: Artifact) -> dict[str, Any]:
    """The header of a stored safetensors file, without reading its tensors."""
    size = int.from_bytes(artifact.read_range(0, 8), "little")
    header: dict[str, Any] = json.loads(artifact.read_range(8, size))
    return header
