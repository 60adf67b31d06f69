"""What stages that are called by hand leave behind lies with the tests' other files, which pytest clears."""

import tempfile

import pytest


@pytest.fixture(scope="session", autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> None:
    tempfile.tempdir = str(tmp_path_factory.mktemp("tmp"))
