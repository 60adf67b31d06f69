"""Fixtures: a folder of small arrays of frames; tests run on one thread, because bits depend on it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of moving stripes and noise, uint8 [12 40 48 3]."""
    folder = tmp_path_factory.mktemp("frames")
    y, x = np.mgrid[:40, :48]
    for number in range(2):
        images = [128 + 100 * np.sin((x + (1 + number) * y + 2 * t) / 4.0) for t in range(12)]
        noise = np.random.default_rng(number).normal(0, 20, (12, 40, 48, 3))
        array = np.stack(images)[..., None] * [1.0, 0.8, 0.6] + noise
        np.save(folder / f"film{number}.0.npy", array.clip(0, 255).astype(np.uint8))
    return folder
