"""The small store, made anew for each test."""

from pathlib import Path

import pytest
from small_store import Made, make_store


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_store(tmp_path / "store")
