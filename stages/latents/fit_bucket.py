"""Fits frames into the size of a bucket: scaled with their aspect ratio, cropped a little, and padded."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stages.media.aspect_ratio import nearest_ratio, parse_ratio

Pixels: TypeAlias = npt.NDArray[np.uint8]


class Fit(NamedTuple):
    """How a frame fits into its bucket; all in px.

    Attributes:
        width, height: Size of the bucket.
        scaled: Width and height to which the frame is scaled.
        crop: Part of the scaled frame that is kept: x, y, width, height.
        video: Part of the bucket that shows it: x, y, width, height. The rest is padding.
    """

    width: int
    height: int
    scaled: tuple[int, int]
    crop: tuple[int, int, int, int]
    video: tuple[int, int, int, int]


def bucket_size(
    width: int, height: int, short_side: int, multiple: int, aspect_ratios: tuple[str, ...]
) -> tuple[int, int]:
    """Width and height of the bucket whose aspect ratio is the nearest.

    Args:
        width, height: Display size of the frame in px.
        short_side: Short side of the bucket in px, before it is rounded down to `multiple`.
        multiple: Both sides are multiples of this; the long side is the next lower one.
        aspect_ratios: Such as "16:9". Without any, the bucket has the aspect ratio of the frame.
    """
    own = width / height
    ratios = [parse_ratio(text) for text in aspect_ratios] or [own]
    ratio = nearest_ratio(own, ratios)
    short = max(1, short_side // multiple) * multiple
    long = max(short, int(short * max(ratio, 1 / ratio)) // multiple * multiple)
    return (long, short) if ratio >= 1 else (short, long)


def fit_bucket(width: int, height: int, bucket: tuple[int, int], max_crop_share: float) -> Fit:
    """Scale a frame so that no more than a share of its width or height is cropped, and the rest padded.

    Args:
        width, height: Display size of the frame in px.
        bucket: Width and height of the bucket in px.
        max_crop_share: Largest share of a side that is cropped; 0 pads only, 1 crops only.
    """
    inside, cover = sorted((bucket[0] / width, bucket[1] / height))
    scale = cover if max_crop_share >= 1 else min(cover, inside / (1 - max_crop_share))
    scaled = max(1, round(width * scale)), max(1, round(height * scale))
    if scale == cover:  # rounding must leave no gap
        scaled = max(scaled[0], bucket[0]), max(scaled[1], bucket[1])
    kept = min(scaled[0], bucket[0]), min(scaled[1], bucket[1])
    (crop_x, crop_y), (x, y) = (
        tuple((outer - inner) // 2 for outer, inner in zip(outers, kept, strict=True))
        for outers in (scaled, bucket)
    )
    return Fit(*bucket, scaled, (crop_x, crop_y, *kept), (x, y, *kept))


def crop_and_pad(scaled: Pixels, fit: Fit) -> Pixels:
    """A scaled frame [h w 3] in the size of its bucket. Padding reflects the frame at its edge."""
    x, y, width, height = fit.crop
    left, top, _, _ = fit.video
    kept = scaled[y : y + height, x : x + width]
    right, bottom = fit.width - width - left, fit.height - height - top
    if not (left or top or right or bottom):
        return kept
    return np.pad(kept, ((top, bottom), (left, right), (0, 0)), mode="reflect")
