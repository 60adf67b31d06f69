"""Fingerprints of frames: the scan stores them, and the cut compares them to find the same frames again."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av

FINGERPRINT_COLUMNS = {
    "fingerprint_1": "sampled values of the first plane, as coded, added up with fixed random signs [levels]",
    "fingerprint_2": "as fingerprint_1, with other signs [levels]",
}
_ROWS, _COLUMNS = 24, 40  # samples of the plane
_MAX_DIFFERENCE = 2.0  # decoders of one codec differ by at most about a level of 255 per sample
_SEED = 20


def fingerprint_frame(raw: "av.VideoFrame") -> tuple[float, float]:
    """Return two numbers that differ between frames of different content. It takes about 40 µs.

    Each is a sum of 960 samples with random signs, divided by the root of 960: a difference of one level
    in each sample, at random, changes it by about 1.
    """
    plane, component = raw.planes[0], raw.format.components[0]
    wide = component.bits > 8
    kind = np.dtype(">u2" if raw.format.is_big_endian else "<u2") if wide else np.dtype(np.uint8)
    width = plane.line_size // kind.itemsize
    values = np.frombuffer(memoryview(plane), kind)
    samples = values.take(_grid(plane.height, min(width, max(1, plane.width)), width)).astype(np.float64)
    if wide:
        samples /= 1 << component.bits - 8
    first, second = _signs() @ samples
    return float(np.float32(first)), float(np.float32(second))


def fingerprints_match(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether two fingerprints are of the same frame, decoded by equal or by other builds."""
    return all(abs(a - b) <= _MAX_DIFFERENCE for a, b in zip(one, other, strict=True))


@lru_cache(maxsize=8)
def _grid(height: int, width: int, line: int) -> npt.NDArray[np.int64]:
    """Return the indices of the samples [960] in a plane with `line` values from one row to the next."""
    rows = (np.arange(_ROWS) * 2 + 1) * height // (2 * _ROWS)
    columns = (np.arange(_COLUMNS) * 2 + 1) * width // (2 * _COLUMNS)
    grid: npt.NDArray[np.int64] = (rows[:, None] * line + columns).ravel()
    return grid


@lru_cache(maxsize=1)
def _signs() -> npt.NDArray[np.float64]:
    """Return the signs of the samples [2 960], divided by the root of their number."""
    count = _ROWS * _COLUMNS
    bits: npt.NDArray[np.int64] = np.random.default_rng(_SEED).integers(0, 2, (2, count))
    signs: npt.NDArray[np.float64] = (2 * bits - 1) / np.sqrt(count)
    return signs
