"""Toy viewers for tests of `clipmill show`: they write the values of the row, and one always fails."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests import ClipmillError, Store


def write_values(row: pa.Table, store: Store, path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """The columns of the row, and the setting `bad` of Square."""
    path.write_text(f"{row.to_pylist()} bad={settings['toys:Square']['bad']}")


def fail(row: pa.Table, store: Store, path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
    path.write_text("half a file")
    raise ClipmillError("the source is gone", remedy="find it")
