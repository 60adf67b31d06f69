"""The small store, created again for each test."""

from pathlib import Path

import pytest
from small_store import SmallStore, make_store


@pytest.fixture
def small(tmp_path: Path) -> SmallStore:
    return make_store(tmp_path / "store")
