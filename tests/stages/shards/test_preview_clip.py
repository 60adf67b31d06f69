"""A preview is an animated WebP of the clip's own stills."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import Reject
from stages.scan.scan_video import ScannedVideo
from stages.shards.preview_clip import ClipStills, Preview, PreviewClip


def stills_of(scanned: ScannedVideo, start_s: float, end_s: float) -> ClipStills:
    return ClipStills(
        strip=scanned.strip,
        strip_times_s=scanned.strip_times_s,
        strip_offsets=scanned.strip_offsets,
        start_s=start_s,
        end_s=end_s,
    )


def test_a_preview_shows_the_stills_of_its_clip(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo]
) -> None:
    colors = [(200, 30, 30)] * 24 + [(30, 200, 30)] * 48 + [(30, 30, 200)] * 24
    path = film([np.full((90, 160, 3), color, np.uint8) for color in colors])
    scanned = scan(path)
    rows = [stills_of(scanned, *span) for span in ((1.0, 3.0), (3.1, 3.2), (0.0, 4.0))]
    stage = PreviewClip(preview_px=64, max_frames=6)
    green, empty, whole = stage.annotate(rows)
    assert isinstance(green, Preview)
    assert isinstance(empty, Reject)
    assert isinstance(whole, Preview)
    with Image.open(io.BytesIO(green.preview.read())) as image:
        animation: Any = image
        assert (image.format, image.size, animation.n_frames) == ("WEBP", (64, 36), 1)  # equal frames are one
        red, green_level, blue = np.asarray(image.convert("RGB")).mean(axis=(0, 1))
        assert green_level > 180 > 60 > max(red, blue)
    with Image.open(io.BytesIO(whole.preview.read())) as image:
        animation = image
        assert animation.n_frames == 3
        animation.seek(2)
        image.load()
        assert image.info["duration"] == 500  # two of the six stills are blue
    [again] = stage.annotate([rows[2]])
    assert isinstance(again, Preview)
    assert again.preview.sha256 == whole.preview.sha256
