"""The images of a window: stills of the strip if they are large enough, else frames of the source video."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from manifests import Artifact
from pipeline import Reject
from stages.captions.requests.windows import Window
from stages.media.decoding.video import open_video
from stages.media.strip import CroppedStills, crop_image, decode_still, encode_jpeg, read_strip

_SIZE_TOLERANCE = 0.97  # share of the requested size that is enough, because sides are rounded
_JPEG_QUALITY = 90  # of the JPEGs made here, 1 … 100


class HasSourceAndStrip(Protocol):
    """A clip's row with its source and its strip."""

    @property
    def uri(self) -> str: ...
    @property
    def width_px(self) -> int: ...
    @property
    def height_px(self) -> int: ...
    @property
    def strip(self) -> Artifact: ...
    @property
    def strip_times_s(self) -> Sequence[float]: ...
    @property
    def strip_offsets(self) -> Sequence[int]: ...
    @property
    def time_repair(self) -> str: ...


class ImageSampling(NamedTuple):
    """How many images of a window a model sees, and their size.

    Attributes:
        fps: Images per second of the clip.
        longer_side_px: Longer side of an image in px, or that of the source if it is smaller.
        max_images: Images of a window, at most. Fewer images are then sampled, evenly spread.
    """

    fps: float
    longer_side_px: int
    max_images: int


def window_images(row: HasSourceAndStrip, window: Window, sampling: ImageSampling) -> list[bytes]:
    """Return the JPEGs of a window in order of time, at least one.

    Raises:
        Reject: the strip is not sufficient, and the source is missing or differs from the scanned one.
    """
    duration_s = window.end_s - window.start_s
    count = max(1, min(sampling.max_images, int(duration_s * sampling.fps + 0.5)))
    longer_side = min(sampling.longer_side_px, max(row.width_px, row.height_px))
    return _from_strip(row, window, count, longer_side) or list(_from_source(row, window, count, longer_side))


def _from_strip(row: HasSourceAndStrip, window: Window, count: int, longer_side: int) -> list[bytes]:
    """Return stills of the strip; [] if they are too few or too small. One may be missing at the end."""
    stills = read_strip(row, window.start_s, window.end_s, count)
    if len(stills) < max(1, count - 1):
        return []
    size = max(decode_still(stills[0]).shape[:2])
    if size < _SIZE_TOLERANCE * longer_side:
        return []
    return [
        still.jpeg if size <= longer_side else _shrink(decode_still(still), longer_side) for still in stills
    ]


def _from_source(row: HasSourceAndStrip, window: Window, count: int, longer_side: int) -> Iterator[bytes]:
    """Yield the first frame at or after each of `count` evenly spread times of the window."""
    frames = 0
    with open_video(row.uri, time_repair=row.time_repair) as video:
        step = Fraction(window.end_pts - window.start_pts, count)
        taken = 0
        for frame in video.frames(window.start_pts, window.end_pts):
            frames += 1
            if taken < count and frame.pts >= window.start_pts + taken * step:
                width, height = frame.display_size
                scale = min(Fraction(1), Fraction(longer_side, max(width, height)))
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                image = frame.pixels("bgr24", *size)
                shares = row.crop_shares() if isinstance(row, CroppedStills) else None
                inside = np.ascontiguousarray(crop_image(image, shares)) if shares else image
                yield encode_jpeg(inside, _JPEG_QUALITY)
                taken += 1
    if frames != (scanned := window.end_frame - window.start_frame):
        raise Reject(f"the source has {frames} frames in a window, but the scan found {scanned}")


def _shrink(image: npt.NDArray[np.uint8], longer_side: int) -> bytes:
    import cv2

    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(resized[..., ::-1], _JPEG_QUALITY)
