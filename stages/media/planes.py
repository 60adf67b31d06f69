"""A decoded frame as yuv420p, upright, with even sides: its own planes wherever size and format allow.

What need not be converted is not touched, so a lossless encoder gives back the very pixels of the source.
"""

from typing import TYPE_CHECKING

import numpy as np

from stages.media.frame import Frame
from stages.media.orientation import upright

if TYPE_CHECKING:
    import av

_FULL = 2  # FFmpeg's number for the range 0 … 255
_RGB = ("rgb", "bgr", "gbr", "pal", "argb", "abgr", "0rgb", "0bgr")
_UNKNOWN = 2  # FFmpeg's number for a matrix that nobody named
_BT709 = 1


def even(side: int) -> int:
    """The side without its last line, where that is odd."""
    return side // 2 * 2


def planar(frame: Frame, wide: int, high: int) -> "av.VideoFrame":
    """The picture as a player shows it, 8-bit 4:2:0, `wide` x `high` px.

    Colours stay in the range and matrix of the source (of RGB: BT.709, 16 … 235), and the tags say which. Of
    an odd side the last line as coded is left out. The result may be the decoder's own frame: its times and
    its type are free to be written over, its pixels are not.
    """
    across = (high, wide) if frame.turns % 2 else (wide, high)
    flat = _flat(frame, *across)
    if not frame.turns and not (flat.width % 2 or flat.height % 2):
        return flat
    return _turned(flat, frame.turns)


def _flat(frame: Frame, wide: int, high: int) -> "av.VideoFrame":
    """8-bit 4:2:0 of this size, as coded: not turned."""
    from av.video.reformatter import Interpolation, VideoReformatter

    raw, name = frame.raw, frame.raw.format.name
    full = name.startswith("yuvj") or raw.color_range == _FULL
    rgb = name.startswith(_RGB)
    wanted = "yuvj420p" if full and not rgb else "yuv420p"
    if (name, raw.width, raw.height) == (wanted, wide, high):
        return raw
    how = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT  # on every processor
    scaler = frame.scalers.setdefault((wanted, wide, high), VideoReformatter())
    matrix = _BT709 if rgb else None if raw.colorspace == _UNKNOWN else raw.colorspace
    flat = scaler.reformat(
        raw, wide, high, wanted, dst_colorspace=matrix, interpolation=how, threads=1
    )  # None: as it is
    if rgb:
        flat.colorspace = _BT709
    return flat


def _turned(flat: "av.VideoFrame", turns: int) -> "av.VideoFrame":
    """Without the last line of an odd side, and upright."""
    import av

    wide, high = even(flat.width), even(flat.height)
    planes = []
    for plane, part in zip(flat.planes, (1, 2, 2), strict=True):
        whole = np.ndarray((plane.height, plane.width), np.uint8, plane, strides=(plane.line_size, 1))
        planes.append(upright(whole[: high // part, : wide // part], turns))
    if turns % 2:
        wide, high = high, wide
    stacked = np.concatenate([np.ascontiguousarray(plane).ravel() for plane in planes])
    made = av.VideoFrame.from_ndarray(stacked.reshape(high * 3 // 2, wide), format=flat.format.name)
    made.color_range, made.colorspace = flat.color_range, flat.colorspace
    made.color_primaries, made.color_trc = flat.color_primaries, flat.color_trc
    return made
