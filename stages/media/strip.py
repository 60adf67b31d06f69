"""The strip: stills of a video as JPEGs one after the other in one file, found by their offsets."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from manifests import Artifact


class Stripped(Protocol):
    """A row that carries a strip; times are seconds since the first frame, in order."""

    @property
    def strip(self) -> Artifact: ...
    @property
    def strip_times_s(self) -> Sequence[float]: ...
    @property
    def strip_offsets(self) -> Sequence[int]: ...


class Still(NamedTuple):
    time_s: float
    jpeg: bytes


def read_strip(
    row: Stripped, start_s: float = 0.0, end_s: float = float("inf"), most: int = 0
) -> list[Still]:
    """The stills with start_s <= time < end_s, in order; none, where the span is too short to hold one.

    Args:
        most: at most so many, spread evenly; 0 gives all.
    """
    times = row.strip_times_s
    first, last = bisect_left(times, start_s), bisect_left(times, end_s)
    if first >= last:
        return []
    count = last - first
    if 0 < most < count:
        chosen = [first + (2 * k + 1) * count // (2 * most) for k in range(most)]
    else:
        chosen = list(range(first, last))
    ends = [*row.strip_offsets[1:], row.strip.size_bytes]
    begin = row.strip_offsets[chosen[0]]
    data = row.strip.read_range(begin, ends[chosen[-1]] - begin)
    return [Still(times[k], data[row.strip_offsets[k] - begin : ends[k] - begin]) for k in chosen]


def pixels_of(still: Still) -> np.ndarray:
    """The picture as uint8 RGB [h w 3]."""
    return decoded(still.jpeg)


def decoded(jpeg: bytes) -> np.ndarray:
    """A JPEG as uint8 RGB [h w 3]."""
    import cv2

    picture: np.ndarray = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    return picture


def jpeg_of(picture: np.ndarray, quality: int) -> bytes:
    """A picture, uint8 BGR [h w 3], as JPEG; the quality is 1 … 100."""
    import cv2

    made, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not made:
        raise ValueError(f"a picture of {picture.shape} cannot be written as JPEG")
    return bytes(data)
