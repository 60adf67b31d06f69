"""Tables of clips for the search and the decision: embeddings and quality columns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

QUALITY = {"width_px": 640, "height_px": 360, "sharpness": 0.5, "start_s": 0.0, "end_s": 4.0}


def _clips(vectors: Any, ids: Sequence[str] = (), **columns: Any) -> pa.Table:
    """Clips of equal quality, except for `columns`: one value for all clips, or a list with one for each."""
    vectors = np.asarray(vectors, np.float64)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = list(ids) or [f"{n:05d}" for n in range(len(unit))]
    digests = [f"{hash(i) & 0xFFFFFFFF:08x}{i}" for i in ids]
    values = {
        **QUALITY,
        "embedding_kind": "random",
        "frame_signature": b"",
        "stills_sha256": digests,
        **columns,
    }
    full = {k: v if isinstance(v, list | np.ndarray) else [v] * len(ids) for k, v in values.items()}
    return pa.table({"id": ids, "embedding": pa.array(list(unit), pa.list_(pa.float32())), **full})


@pytest.fixture
def clips() -> Callable[..., pa.Table]:
    """See `_clips`."""
    return _clips


@pytest.fixture
def crowd() -> Callable[..., tuple[pa.Table, set[tuple[str, str]]]]:
    """crowd(count, copies, …) -> clips around a few centers, and the planted pairs among them."""

    def random_clips(
        count: int = 1200, copies: int = 100, size: int = 64, centers: int = 12, similarity: float = 0.95
    ) -> tuple[pa.Table, set[tuple[str, str]]]:
        rng = np.random.default_rng(5)
        center = rng.normal(size=(centers, size))
        vectors = center[rng.integers(0, centers, count)] * 1.2 + rng.normal(size=(count, size))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        copied = rng.choice(count, copies, replace=False)
        noise = rng.normal(size=(copies, size))
        noise -= (noise * vectors[copied]).sum(axis=1, keepdims=True) * vectors[copied]
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        duplicates = similarity * vectors[copied] + np.sqrt(1 - similarity**2) * noise
        names = [f"{n:05d}" for n in range(count)] + [f"{n:05d}-copy" for n in copied]
        planted = {(f"{n:05d}", f"{n:05d}-copy") for n in copied}
        quality = rng.random(count + copies)
        return _clips(np.concatenate([vectors, duplicates]), names, sharpness=quality), planted

    return random_clips
