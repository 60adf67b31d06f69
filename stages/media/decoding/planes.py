"""Converts a decoded frame to upright yuv420p with even sides, without a copy if size and format allow it.

Pixels that need no conversion are not changed, so a lossless encoder preserves the pixels of the source
exactly.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import rotate_upright

if TYPE_CHECKING:
    import av

_FULL = 2  # AVCOL_RANGE_JPEG: values 0 … 255
_RGB = ("rgb", "bgr", "gbr", "pal", "argb", "abgr", "0rgb", "0bgr")
_UNKNOWN = 2  # AVCOL_SPC_UNSPECIFIED
_BT709 = 1


def floor_to_even(side: int) -> int:
    """Return the largest even number up to `side`."""
    return side // 2 * 2


def to_yuv420p(frame: Frame, width: int, height: int) -> "av.VideoFrame":
    """Return the frame as a player displays it, 8-bit 4:2:0, `width` x `height` px.

    Colors stay in the range and matrix of the source (for RGB: BT.709, 16 … 235), and the color tags name
    them. The last coded line of an odd side is dropped. The result can be the decoder's own frame: the caller
    may change its times and its type, but not its pixels.
    """
    coded_size = (height, width) if frame.orientation % 2 else (width, height)
    flat = _convert(frame, *coded_size)
    if not frame.orientation and not (flat.width % 2 or flat.height % 2):
        return flat
    return _turn(flat, frame.orientation)


def _convert(frame: Frame, width: int, height: int) -> "av.VideoFrame":
    """Return the frame as 8-bit 4:2:0 of this size, not turned."""
    from av.video.reformatter import Interpolation, VideoReformatter

    raw, name = frame.raw, frame.raw.format.name
    full = name.startswith("yuvj") or raw.color_range == _FULL
    rgb = name.startswith(_RGB)
    pix_fmt = "yuvj420p" if full and not rgb else "yuv420p"
    if (name, raw.width, raw.height) == (pix_fmt, width, height):
        return raw
    interpolation = (
        Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    )  # the same result on every processor
    scaler = frame.scalers.setdefault((pix_fmt, width, height), VideoReformatter())
    matrix = _BT709 if rgb else None if raw.colorspace == _UNKNOWN else raw.colorspace
    flat = scaler.reformat(
        raw, width, height, pix_fmt, dst_colorspace=matrix, interpolation=interpolation, threads=1
    )  # None keeps the matrix
    if rgb:
        flat.colorspace = _BT709
    return flat


def _turn(flat: "av.VideoFrame", orientation: int) -> "av.VideoFrame":
    """Return the frame upright, without the last line of an odd side."""
    import av

    width, height = floor_to_even(flat.width), floor_to_even(flat.height)
    planes = []
    for plane, part in zip(flat.planes, (1, 2, 2), strict=True):
        samples_of_plane: npt.NDArray[np.uint8] = np.ndarray(
            (plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1)
        )
        planes.append(rotate_upright(samples_of_plane[: height // part, : width // part], orientation))
    if orientation % 2:
        width, height = height, width
    samples = np.concatenate([np.ascontiguousarray(plane).ravel() for plane in planes])
    result = av.VideoFrame.from_ndarray(samples.reshape(height * 3 // 2, width), format=flat.format.name)
    result.color_range, result.colorspace = flat.color_range, flat.colorspace
    result.color_primaries, result.color_trc = flat.color_primaries, flat.color_trc
    return result
