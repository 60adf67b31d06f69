"""Frames are those displayed at exact times, and fit into their bucket with a crop and reflections."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.latents.fit_bucket import Fit, bucket_size, crop_and_pad, fit_bucket
from stages.latents.read_windows import DecodedWindow, Span, displayed_frames, read_windows
from stages.media.decoding.video import open_video

MakeClip = Callable[..., Artifact]
RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9")


@pytest.mark.parametrize(
    ("frames", "fps", "expected"),
    [
        (24, 24, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]),
        (5, 6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (5, 10, [0, 0, 1, 2, 3, 4]),
    ],
)
def test_frames_are_those_displayed_at_each_time(
    make_clip: MakeClip, frames: int, fps: int, expected: list[int]
) -> None:
    with make_clip(frames, fps).local() as path, open_video(str(path)) as video:
        step = 1 / (Fraction(fps) * video.time_base)
        for first in range(len(expected)):
            displayed = [int(f.pts / step) for f in displayed_frames(video, Fraction(12), first)]
            assert displayed == expected[first:]


def test_long_clips_do_not_drift(make_clip: MakeClip) -> None:
    """At 24000/1001 from 30 frames per second, each frame is the one at its exact time, also after a seek."""
    fps = Fraction(24000, 1001)
    with make_clip(600, 30, width=16, height=16).local() as path, open_video(str(path)) as video:
        step = 1 / (30 * video.time_base)
        expected = [int(Fraction(n) / fps * 30) for n in range(480)]
        assert [int(f.pts / step) for f in displayed_frames(video, fps)] == expected
        assert [int(f.pts / step) for f in displayed_frames(video, fps, 300)] == expected[300:]


def test_a_frame_that_is_displayed_for_long_is_found(make_clip: MakeClip) -> None:
    """Decoding starts 2 s before a window, where the frame of 5 s that it begins with has begun already."""
    with make_clip(3, Fraction(1, 5), 32, 32).local() as path, open_video(str(path)) as video:
        seconds = [float(f.pts * video.time_base) for f in displayed_frames(video, Fraction(2), 18)]
    assert seconds == [5.0] * 2 + [10.0] * 10


def windows(clip: Artifact, *spans: Span, fit: Fit | None = None) -> list[DecodedWindow | Reject]:
    whole = fit or fit_bucket(120, 68, (112, 64), 0.1)
    with clip.local() as path:
        return list(read_windows(path, spans, lambda *_: whole))


def test_windows_are_equal_alone_and_after_each_other(make_clip: MakeClip) -> None:
    clip = make_clip(96, 24)
    spans = [Span(0, 17, 12.0), Span(17, 17, 12.0), Span(34, 9, 12.0)]
    together = windows(clip, *spans)
    for span, window in zip(spans, together, strict=True):
        [alone] = windows(clip, span)
        assert isinstance(window, DecodedWindow)
        assert isinstance(alone, DecodedWindow)
        assert np.array_equal(window.pixels, alone.pixels)
    assert len({w.pixels[:9].tobytes() for w in together if isinstance(w, DecodedWindow)}) == 3


def test_a_window_behind_the_end_is_rejected_and_the_others_are_read(make_clip: MakeClip) -> None:
    first, behind, other = windows(make_clip(24, 24), Span(0, 9, 12.0), Span(9, 9, 12.0), Span(4, 5, 12.0))
    assert isinstance(first, DecodedWindow)
    assert isinstance(other, DecodedWindow)
    assert isinstance(behind, Reject)
    assert str(behind) == (
        "the clip ends 6 frames before frame 18 at 12 frames per second, so the window does not fit"
    )


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1920, 1080), (224, 128)),
        ((1080, 1920), (128, 224)),
        ((2390, 1000), (224, 128)),
        ((500, 501), (128, 128)),
        ((720, 540), (160, 128)),
        ((3, 4000), (128, 224)),
    ],
)
def test_the_bucket_has_the_nearest_aspect_ratio(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    assert bucket_size(*size, 128, 16, RATIOS) == bucket
    for max_crop_share in (0.0, 0.1, 1.0):
        fit = fit_bucket(*size, bucket, max_crop_share)
        frame = np.random.default_rng(0).integers(0, 255, (*fit.scaled[::-1], 3), np.uint8)
        assert crop_and_pad(frame, fit).shape == (bucket[1], bucket[0], 3)
        cropped = 1 - min(fit.crop[2] / fit.scaled[0], fit.crop[3] / fit.scaled[1])
        assert cropped <= max_crop_share + 2 / min(bucket)
        assert max_crop_share < 1 or fit.video == (0, 0, *bucket)


def test_without_aspect_ratios_a_frame_has_a_bucket_of_its_own() -> None:
    assert bucket_size(120, 68, 64, 16, ()) == (112, 64)
    assert bucket_size(68, 120, 64, 16, ()) == (64, 112)


def test_padding_is_a_reflection() -> None:
    frame = np.arange(4, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(3, 2)
    fit = fit_bucket(4, 4, (4, 8), 0.0)
    assert fit.video == (0, 2, 4, 4)
    assert crop_and_pad(frame, fit)[:, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]


def test_a_transparent_frame_is_blended_with_black(tmp_path: Path) -> None:
    import av

    path = tmp_path / "alpha.apng"
    image = np.full((16, 16, 4), 200, np.uint8)
    image[:, :8, 3], image[:, 8:, 3] = 255, 0
    with av.open(str(path), "w", format="apng") as out:
        stream = out.add_stream("apng", 12)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgba"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgba")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    fit = fit_bucket(16, 16, (16, 16), 0.0)
    [window] = windows(Artifact.of_file(path), Span(0, 1, 12.0), fit=fit)
    assert isinstance(window, DecodedWindow)
    assert window.provenance["alpha"] == "on black"
    assert window.pixels[0, 0, :, 0].tolist() == [200] * 8 + [0] * 8
