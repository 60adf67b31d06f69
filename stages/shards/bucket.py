"""Buckets: clips of similar size, aspect ratio and length, which a trainer can put into one batch."""

import math
from bisect import bisect
from collections.abc import Sequence
from fractions import Fraction

SHORT_SIDES_PX = (1080, 720, 480, 360)  # in descending order
BUCKET_FRAMES = (33, 65, 129, 257)  # frame counts at which buckets begin, after the shortest bucket
_ASPECT_RATIOS = {"9x16": 9 / 16, "3x4": 3 / 4, "1x1": 1.0, "4x3": 4 / 3, "16x9": 16 / 9}


def short_side_px(width_px: int, height_px: int) -> int:
    """The largest of `SHORT_SIDES_PX` that an image reaches, or 0 if it reaches none."""
    return next((side for side in SHORT_SIDES_PX if min(width_px, height_px) >= side), 0)


def shape_name(width_px: int, height_px: int) -> str:
    """Short side and nearest aspect ratio, for example "720p_16x9"."""
    side = short_side_px(width_px, height_px)
    ratio = math.log(width_px / height_px)
    aspect = min(_ASPECT_RATIOS, key=lambda name: abs(math.log(_ASPECT_RATIOS[name]) - ratio))
    return f"{side}p_{aspect}" if side else f"small_{aspect}"


def frames_at_fps(duration_s: Fraction, fps: float) -> int:
    """The number of frames of a clip that a trainer reads at `fps`: the number of times k / fps inside it."""
    return math.ceil(duration_s * exact_fps(fps))


def min_seconds(frames: int, fps: float) -> float:
    """The duration in seconds that a clip must exceed so that a trainer at `fps` reads that many frames."""
    return float((frames - 1) / exact_fps(fps))


def length_name(frames: int, bucket_frames: Sequence[int]) -> str:
    """The range of frame counts, for example "33-64f"; "" below the first of `bucket_frames`."""
    place = bisect(bucket_frames, frames)
    if not place:
        return ""
    if place == len(bucket_frames):
        return f"from{bucket_frames[-1]}f"
    return f"{bucket_frames[place - 1]}-{bucket_frames[place] - 1}f"


def exact_fps(fps: float) -> Fraction:
    """A frame rate as an exact fraction: 23.976… is 24000/1001."""
    return Fraction(fps).limit_denominator(1001)
