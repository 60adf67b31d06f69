"""A clip shows the part of its source that the crop and the target size ask for, pixel by pixel."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline import Reject
from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import rotate_upright
from stages.media.decoding.video import open_video
from stages.shards.bucket import ASPECT_RATIOS, ASPECT_TOLERANCE, RESOLUTIONS
from stages.shards.clip_picture import Rectangle, TargetSize, coded_crop, cropped, picture_of
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip

BUCKETS = {
    "resolutions": RESOLUTIONS,
    "aspect_ratios": ASPECT_RATIOS,
    "aspect_tolerance": ASPECT_TOLERANCE,
}


def luma(clip: bytes) -> np.ndarray:
    """Luma of the first frame of an mp4, uint8 [h w]."""
    with av.open(io.BytesIO(clip)) as container:
        frame = next(container.decode(video=0))
        return np.asarray(frame.to_ndarray(format="yuv420p"))[: frame.height].copy()


def test_a_lossless_clip_holds_the_pixels_of_its_crop(
    film: Callable[..., Path], moving: Callable[..., Any], row_of: Callable[..., KeptClip], cut: Any
) -> None:
    path = film(moving(3, 4, size=(96, 160)))
    row = row_of(path, 0, -1, crop_x_px=20, crop_y_px=8, crop_width_px=120, crop_height_px=80)
    with open_video(str(path)) as video:
        source = next(video.frames()).luma().copy()
    out: ClipFile = cut(CutClip(crf=0, copy_packets=True), row)
    assert (out.clip_method, out.clip_width_px, out.clip_height_px) == ("encoded", 120, 80)
    assert (luma(out.clip.read()) == source[8:88, 20:140]).all()
    outside = row_of(path, 0, -1, crop_x_px=100, crop_y_px=0, crop_width_px=64, crop_height_px=80)
    [result] = CutClip().annotate([outside])
    assert isinstance(result, Reject)
    assert "is not inside the picture of 160 x 96 px" in str(result)


@pytest.mark.parametrize("orientation", range(8))
def test_a_crop_is_of_the_upright_picture(orientation: int) -> None:
    image = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60).astype(np.uint8)
    planes = np.concatenate([image, np.full((20, 60), 128, np.uint8)])
    frame = Frame(0, 1, orientation, av.VideoFrame.from_ndarray(planes, format="yuv420p"))
    frame.raw.time_base = Fraction(1, 25)
    upright = rotate_upright(image, orientation)
    shown = Rectangle(4, 8, 20, 26)
    [part] = cropped([frame], coded_crop(frame, shown))
    assert part.display_size == (20, 26)
    assert (rotate_upright(part.luma(), orientation) == upright[8:34, 4:24]).all()


def test_a_crop_of_pixels_that_are_not_square() -> None:
    frame = Frame(0, 1, 0, av.VideoFrame(720, 576, "yuv420p"), sample_aspect=Fraction(64, 45))
    assert picture_of(frame, (None,) * 4) == (0, 0, 1024, 576)
    crop = coded_crop(frame, Rectangle(128, 72, 768, 432))
    assert crop.remaining(720, 576) == (540, 432)
    assert crop[:4] == (90, 90, 72, 72)


@pytest.mark.parametrize(
    ("settings", "source", "shown", "size"),
    [
        ({}, (1919, 803), (0, 0, 1919, 803), (1919, 803)),
        ({"height_px": 480}, (1920, 1080), (0, 0, 1920, 1080), (854, 480)),
        ({"width_px": 640}, (1080, 1920), (0, 0, 1080, 1920), (640, 1138)),
        ({"height_px": 199}, (480, 270), (0, 0, 480, 270), (352, 198)),  # never above the limit
        ({"height_px": 720}, (640, 360), (0, 0, 640, 360), (640, 360)),  # never enlarged
        ({"width_px": 640, "height_px": 480}, (1920, 1080), (240, 0, 1440, 1080), (640, 480)),
        ({"width_px": 640, "height_px": 480}, (320, 180), (40, 0, 240, 180), (240, 180)),
        ({"to_bucket": "shrink"}, (1920, 803), (0, 0, 1920, 803), (1722, 720)),
        ({"to_bucket": "crop"}, (2000, 1080), (40, 0, 1920, 1080), (1920, 1080)),
        ({"to_bucket": "crop"}, (720, 480), (40, 0, 640, 480), (640, 480)),
        (
            {"to_bucket": "crop"},
            (476, 360),
            (0, 2, 476, 356),
            (480, 360),
        ),  # the bucket of 360 px has one size
        ({"to_bucket": "crop"}, (2390, 1000), (0, 0, 2390, 1000), (1720, 720)),  # matches no aspect ratio
        ({"to_bucket": "crop"}, (320, 180), (0, 0, 320, 180), (320, 180)),  # reaches no resolution
        ({"to_bucket": "crop", "max_short_side_px": 500}, (2000, 1080), (40, 0, 1920, 1080), (854, 480)),
    ],
)
def test_target_sizes(
    settings: dict[str, Any], source: tuple[int, int], shown: tuple[int, ...], size: tuple[int, int]
) -> None:
    target = TargetSize(**BUCKETS | settings)
    assert target.apply(Rectangle(0, 0, *source)) == (shown, size)


def test_clips_of_a_bucket_can_be_stacked(
    film: Callable[..., Path], moving: Callable[..., Any], row_of: Callable[..., KeptClip], cut: Any
) -> None:
    paths = [film(moving(3, 2, size=size), f"{size[0]}.mp4") for size in ((104, 196), (100, 176), (120, 208))]
    stage = CutClip(to_bucket="crop", resolutions=(96,))
    clips = [cut(stage, row_of(path, 0, -1)) for path in paths]
    assert {(c.clip_width_px, c.clip_height_px, c.clip_codec) for c in clips} == {(170, 96, "h264")}


def test_a_clip_can_be_hevc(
    film: Callable[..., Path], moving: Callable[..., Any], row_of: Callable[..., KeptClip], cut: Any
) -> None:
    row = row_of(film(moving(3, 6, size=(144, 176))), 0, -1)
    clips = [cut(CutClip(encoder="x265"), row) for _ in range(2)]
    assert {(c.clip_codec, c.clip_bit_depth, c.clip_frames) for c in clips} == {("hevc", 8, 6)}
    assert clips[0].clip.sha256 == clips[1].clip.sha256
