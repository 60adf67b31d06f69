"""Clips as tables, for the search and the decision: vectors, qualities, what was found of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

QUALITY = {"width_px": 640, "height_px": 360, "sharpness": 0.5, "start_s": 0.0, "end_s": 4.0}


def _clips(vectors: Any, ids: Sequence[str] = (), **columns: Any) -> pa.Table:
    """Clips of one quality, but for what `columns` say: one value for all, or one for each."""
    vectors = np.asarray(vectors, np.float64)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = list(ids) or [f"{n:05d}" for n in range(len(unit))]
    said = {"embedding_kind": "drawn", "pictures_sha256": [f"{hash(i) & 0xFFFFFFFF:08x}{i}" for i in ids]}
    told = {**QUALITY, **said, **columns}
    full = {k: v if isinstance(v, list | np.ndarray) else [v] * len(ids) for k, v in told.items()}
    return pa.table({"id": ids, "embedding": pa.array(list(unit), pa.list_(pa.float32())), **full})


@pytest.fixture
def clips() -> Callable[..., pa.Table]:
    """See `_clips`."""
    return _clips


@pytest.fixture
def crowd() -> Callable[..., tuple[pa.Table, set[tuple[str, str]]]]:
    """crowd(count, copies, …) -> clips of a few worlds, and the pairs of them that were planted."""

    def drawn(
        count: int = 1200, copies: int = 100, size: int = 64, worlds: int = 12, similarity: float = 0.95
    ) -> tuple[pa.Table, set[tuple[str, str]]]:
        rng = np.random.default_rng(5)
        centres = rng.normal(size=(worlds, size))
        seen = centres[rng.integers(0, worlds, count)] * 1.2 + rng.normal(size=(count, size))
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        copied = rng.choice(count, copies, replace=False)
        noise = rng.normal(size=(copies, size))
        noise -= (noise * seen[copied]).sum(axis=1, keepdims=True) * seen[copied]
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        twins = similarity * seen[copied] + np.sqrt(1 - similarity**2) * noise
        names = [f"{n:05d}" for n in range(count)] + [f"{n:05d}-copy" for n in copied]
        planted = {(f"{n:05d}", f"{n:05d}-copy") for n in copied}
        quality = rng.random(count + copies)
        return _clips(np.concatenate([seen, twins]), names, sharpness=quality), planted

    return drawn
