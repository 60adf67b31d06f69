"""Settings of all tests: temporary files are in pytest's folder, and Hypothesis draws the same examples."""

import os
import tempfile

# One thread for each test process: two processes with two threads each wait for each other on two cores.
# This is set before a test imports NumPy or PyTorch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# The suite gives the same result every time. `pytest --hypothesis-profile=random` draws new examples.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile("fixed")


@pytest.fixture(scope="session", autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> None:
    tempfile.tempdir = str(tmp_path_factory.mktemp("tmp"))
