"""Buckets: clips that a trainer may put into one batch, as they are of like size, aspect and length."""

import math
from bisect import bisect
from collections.abc import Sequence
from fractions import Fraction

SHORT_SIDES_PX = (1080, 720, 480, 360)  # from the largest
LENGTHS = (33, 65, 129, 257)  # frames at which ranges of length begin, beside the shortest
_ASPECTS = {"9x16": 9 / 16, "3x4": 3 / 4, "1x1": 1.0, "4x3": 4 / 3, "16x9": 16 / 9}


def short_side_px(wide: int, high: int) -> int:
    """The largest of the buckets' short sides that a picture reaches; 0, where it reaches none."""
    return next((side for side in SHORT_SIDES_PX if min(wide, high) >= side), 0)


def shape(wide: int, high: int) -> str:
    """Short side and aspect, such as "720p_16x9"; the aspect is the nearest in ratio."""
    side = short_side_px(wide, high)
    ratio = math.log(wide / high)
    aspect = min(_ASPECTS, key=lambda name: abs(math.log(_ASPECTS[name]) - ratio))
    return f"{side}p_{aspect}" if side else f"small_{aspect}"


def frames_seen(seconds: Fraction, fps: float) -> int:
    """The frames that a trainer at `fps` sees of a clip: the number of times k / fps inside it."""
    return math.ceil(seconds * exact(fps))


def least_seconds(frames: int, fps: float) -> float:
    """The length that a clip must exceed for a trainer at `fps` to see so many frames."""
    return float((frames - 1) / exact(fps))


def length(frames: int, lengths: Sequence[int]) -> str:
    """The range of frames, such as "33-64f", whose edges are in `lengths`; "" below the first of them."""
    place = bisect(lengths, frames)
    if not place:
        return ""
    if place == len(lengths):
        return f"from{lengths[-1]}f"
    return f"{lengths[place - 1]}-{lengths[place] - 1}f"


def exact(fps: float) -> Fraction:
    """A frame rate as it is meant: 23.976… is 24000/1001."""
    return Fraction(fps).limit_denominator(1001)
