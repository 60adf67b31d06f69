"""Buckets: clips of similar size, aspect ratio and length, which a trainer can put into one batch."""

import math
from bisect import bisect
from collections.abc import Sequence
from fractions import Fraction

from manifests import ClipmillError
from stages.media.aspect_ratio import nearest_ratio, parse_ratio

RESOLUTIONS = (1080, 720, 480, 360)  # short sides in px
ASPECT_RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9")  # each is 4/3 of the one before
ASPECT_TOLERANCE = 0.16  # half of a step between two of them, on a logarithmic scale
BUCKET_FRAMES = (33, 65, 129, 257)  # frame counts at which buckets begin, after the shortest bucket


def check_buckets(resolutions: Sequence[int], aspect_ratios: Sequence[str]) -> None:
    """Check the settings of buckets.

    Raises:
        ClipmillError: There is no resolution or no aspect ratio, or one is invalid.
    """
    if not resolutions or not aspect_ratios:
        empty = "aspect_ratios" if resolutions else "resolutions"
        raise ClipmillError(f"{empty} is empty", remedy=f"name one or more {empty}")
    for text in aspect_ratios:
        try:
            parse_ratio(text)
        except ValueError as error:
            raise ClipmillError(str(error), where="aspect_ratios", remedy="write WIDTH:HEIGHT") from error


def reached_resolution(short_side_px: int, resolutions: Sequence[int] = RESOLUTIONS) -> int:
    """The largest resolution that a short side reaches, or 0 if it reaches none."""
    return max((each for each in resolutions if short_side_px >= each), default=0)


def matching_ratio(width_px: int, height_px: int, aspect_ratios: Sequence[str], tolerance: float) -> str:
    """The nearest aspect ratio, or "" if the picture is wider or narrower than it by more than the tolerance.

    Args:
        tolerance: Largest difference of the two ratios, as a share of the smaller one.
    """
    aspect = width_px / height_px
    ratios = {parse_ratio(text): text for text in aspect_ratios}
    nearest = nearest_ratio(aspect, ratios)
    return ratios[nearest] if max(aspect / nearest, nearest / aspect) <= 1 + tolerance else ""


def bucket_size(resolution: int, aspect_ratio: str) -> tuple[int, int]:
    """Exact width and height of the clips of a bucket, both even: 854 x 480 for 480 and "16:9"."""
    ratio = parse_ratio(aspect_ratio)
    short, long = (2 * round(side / 2) for side in (resolution, resolution * max(ratio, 1 / ratio)))
    return (long, short) if ratio >= 1 else (short, long)


def shape_name(
    width_px: int,
    height_px: int,
    resolutions: Sequence[int] = RESOLUTIONS,
    aspect_ratios: Sequence[str] = ASPECT_RATIOS,
    tolerance: float = ASPECT_TOLERANCE,
) -> str:
    """Resolution and aspect ratio, for example "720p_16x9"; "small" and "other" where none fits."""
    side = reached_resolution(min(width_px, height_px), resolutions)
    aspect = matching_ratio(width_px, height_px, aspect_ratios, tolerance).replace(":", "x") or "other"
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
    """A frame rate as an exact fraction: 23.976… is 24000/1001.

    Raises:
        ClipmillError: The rate is above 0 and rounds to 0.
    """
    rate = Fraction(fps).limit_denominator(1001)
    if fps and not rate:
        raise ClipmillError(f"fps is {fps}", remedy="set fps to 0.001 frames per second or more")
    return rate
