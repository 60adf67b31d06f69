"""Converts a decoded frame to upright 4:2:0 with even sides, without a copy if size and format allow it.

Pixels that need no conversion are not changed, so a lossless encoder preserves the pixels of the source
exactly.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages.media.decoding.color import BT709, FULL, is_hdr, matrix_of, to_sdr
from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import rotate_upright

if TYPE_CHECKING:
    import av

_RGB = ("rgb", "bgr", "gbr", "pal", "argb", "abgr", "0rgb", "0bgr")


def floor_to_even(side: int) -> int:
    """Return the largest even number up to `side`."""
    return side // 2 * 2


def to_yuv420p(frame: Frame, width: int, height: int, keep_hdr: bool = False) -> "av.VideoFrame":
    """Return the frame as a player displays it, 8-bit 4:2:0, `width` x `height` px.

    Colors stay in the range, matrix, primaries and transfer of the source (for RGB: BT.709, 16 … 235), and
    the color tags name them. PQ and HLG are tone-mapped to BT.709; with `keep_hdr`, they stay as they are and
    get 10 bits. The last coded line of an odd side is dropped. The result can be the decoder's own frame: the
    caller may change its times and its type, but not its pixels.
    """
    coded_size = (height, width) if frame.orientation % 2 else (width, height)
    flat = _convert(frame, *coded_size, keep_hdr)
    if not frame.orientation and not (flat.width % 2 or flat.height % 2):
        return flat
    return _turn(flat, frame.orientation)


def _convert(frame: Frame, width: int, height: int, keep_hdr: bool) -> "av.VideoFrame":
    """Return the frame as 4:2:0 of this size, not turned."""
    from av.video.reformatter import Interpolation, VideoReformatter

    interpolation = (
        Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    )  # the same result on every processor
    raw, deep = frame.raw, keep_hdr and is_hdr(frame.raw)
    if is_hdr(raw) and not keep_hdr:
        to_rgb = frame.scalers.setdefault(("sdr", raw.format.name, width, height), VideoReformatter())
        raw = to_sdr(raw, width, height, to_rgb, interpolation, frame.peak_cd_m2)
    name = raw.format.name
    full = name.startswith("yuvj") or raw.color_range == FULL
    rgb = name.startswith(_RGB)
    pix_fmt = "yuv420p10le" if deep else "yuvj420p" if full and not rgb else "yuv420p"
    matrix = BT709 if rgb else matrix_of(raw)  # None keeps the matrix
    if (name, raw.width, raw.height) == (pix_fmt, width, height):
        flat = raw
    else:
        scaler = frame.scalers.setdefault((name, pix_fmt, width, height), VideoReformatter())
        flat = scaler.reformat(
            raw, width, height, pix_fmt, src_colorspace=None if rgb else matrix, dst_colorspace=matrix,
            interpolation=interpolation, threads=1,
        )  # fmt: skip
    if matrix == BT709:
        flat.colorspace = BT709
    return flat


def _turn(flat: "av.VideoFrame", orientation: int) -> "av.VideoFrame":
    """Return the frame upright, without the last line of an odd side."""
    import av

    kind = np.dtype(np.uint16 if flat.format.components[0].bits > 8 else np.uint8)
    width, height = floor_to_even(flat.width), floor_to_even(flat.height)
    planes = []
    for plane, part in zip(flat.planes, (1, 2, 2), strict=True):
        samples_of_plane: npt.NDArray[Any] = np.ndarray(
            (plane.height, plane.width), kind, memoryview(plane), strides=(plane.line_size, kind.itemsize)
        )
        planes.append(rotate_upright(samples_of_plane[: height // part, : width // part], orientation))
    if orientation % 2:
        width, height = height, width
    samples = np.concatenate([np.ascontiguousarray(plane).ravel() for plane in planes])
    result = av.VideoFrame.from_ndarray(samples.reshape(height * 3 // 2, width), format=flat.format.name)
    result.color_range, result.colorspace = flat.color_range, flat.colorspace
    result.color_primaries, result.color_trc = flat.color_primaries, flat.color_trc
    return result
