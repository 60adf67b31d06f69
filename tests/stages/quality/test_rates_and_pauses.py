"""Motion, rests and slideshows of films with repeated frames, pauses and shaking cameras."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from stages.quality import measure_frame, measure_motion
from stages.quality.measure_frame import Frames, MeasureFrame
from stages.quality.measure_motion import MeasureMotion, Motion
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
Measure = Callable[..., tuple[Motion, Frames]]
SIZE = (108, 192)
TICKS = 120  # per s, of the written films


@pytest.fixture
def measure(tmp_path: Path, scan: Callable[..., ScannedVideo]) -> Measure:
    """Return a function that writes images, each shown for some ticks, and measures them as one clip."""

    def run(images: Sequence[np.ndarray], ticks: Sequence[int]) -> tuple[Motion, Frames]:
        path = tmp_path / "film.mp4"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(
                "libx264", rate=24, options={"crf": "23", "preset": "veryfast"}
            )
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, TICKS)
            stream.codec_context.time_base = Fraction(1, TICKS)
            stream.codec_context.flags |= av.codec.context.Flags.frame_duration
            for image, start, duration in zip(images, itertools.accumulate([0, *ticks]), ticks, strict=False):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base, frame.duration = start, Fraction(1, TICKS), duration
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        scanned = scan(path, meters=("motion", "repeats", "borders"))
        clip: dict[str, Any] = {"signals": scanned.signals, "duration_s": sum(ticks) / TICKS}
        clip |= {"start_frame": 0, "end_frame": len(images)}
        [motion] = MeasureMotion(max_still_flow=0.0025).annotate([measure_motion.Clip(**clip)])
        [frames] = MeasureFrame().annotate([measure_frame.Clip(**clip)])
        assert isinstance(motion, Motion)
        assert isinstance(frames, Frames)
        return motion, frames

    return run


@pytest.mark.parametrize(
    ("fps", "pattern"), [(24, (2,)), (10, (3, 2)), (12, (3,)), (24, (3,)), (12, (4,)), (12, (1, 2, 1, 4))]
)
def test_a_pan_with_repeated_frames_is_a_pan(
    moving: Draw, measure: Measure, fps: int, pattern: tuple[int, ...]
) -> None:
    counts = list(itertools.islice(itertools.cycle(pattern), round(3 * fps * len(pattern) / sum(pattern))))
    starts = [0, *itertools.accumulate(counts)]
    images = list(moving(3, starts[-1], size=SIZE, step=(36 / fps, 0)))
    shown = [images[start] for start, count in zip(starts, counts, strict=False) for _ in range(count)]
    motion, frames = measure(shown, [TICKS // fps] * len(shown))
    assert (motion.camera, motion.still_share) == ("pan right", 0)
    assert motion.camera_pan == pytest.approx(36 / 192, rel=0.1)
    assert motion.camera_jitter < 0.25
    assert (frames.frozen_share, frames.slideshow_share) == (0, 0)
    assert frames.effective_fps == pytest.approx(fps * len(counts) / len(shown), rel=0.1)


def _slides(moving: Draw, rests_s: Sequence[float]) -> tuple[list[np.ndarray], list[int]]:
    """Return slides that rest for some time and then slide out within half a second, and their ticks."""
    slides = [next(moving(20 + k, 1, size=SIZE)) for k in range(len(rests_s) + 1)]
    images, ticks = [], []
    for (before, after), rest_s in zip(itertools.pairwise(slides), rests_s, strict=True):
        images.append(before)
        ticks.append(round(rest_s * 24) * 5)
        for k in range(1, 12):
            edge = SIZE[1] * k // 12
            images.append(np.concatenate([after[:, SIZE[1] - edge :], before[:, : SIZE[1] - edge]], axis=1))
            ticks.append(5)
    return [*images, slides[-1]], [*ticks, 5]


def test_a_pause_counts_as_much_as_the_repeated_frames_that_a_player_shows(
    moving: Draw, measure: Measure
) -> None:
    images, ticks = _slides(moving, (3.0, 1.5, 4.0))
    paused_motion, paused = measure(images, ticks)
    repeated = [image for image, count in zip(images, ticks, strict=True) for _ in range(count // 5)]
    constant_motion, constant = measure(repeated, [5] * len(repeated))
    assert paused_motion.still_share == pytest.approx(8 / 10, abs=0.15)
    assert paused_motion.still_share == pytest.approx(constant_motion.still_share, abs=0.1)
    for row in (paused, constant):
        assert row.frozen_share == pytest.approx(0.86, abs=0.04)
        assert row.slideshow_share > 0.9
        assert row.effective_fps == pytest.approx(len(images) / (sum(ticks) / TICKS), rel=0.1)


def test_a_slideshow_with_unequal_times_is_one_and_a_pan_with_one_pause_is_not(
    moving: Draw, measure: Measure
) -> None:
    slides = [next(moving(40 + k, 1, size=SIZE)) for k in range(5)]
    motion, frames = measure(slides, [160, 360, 90, 500, 200])
    assert frames.slideshow_share > 0.9
    assert motion.still_share > 0.8
    pan = list(moving(3, 96, size=SIZE, step=(1.5, 0)))
    motion, frames = measure(pan, [5] * 48 + [300] + [5] * 47)
    assert motion.still_share == pytest.approx(300 / 775, abs=0.05)
    assert frames.frozen_share == pytest.approx(300 / 775, abs=0.03)
    assert frames.slideshow_share == 0


def _shaken(moving: Draw, size: float) -> list[np.ndarray]:
    """Return a view that shakes at 4 to 7 Hz; `size` is the root mean square in longer sides."""
    world = next(moving(7, 1, size=(SIZE[0] + 40, SIZE[1] + 40)))
    times = np.arange(60) / 24
    tones = [np.sin(2 * np.pi * hertz * times + 1) for hertz in (4.3, 6.1, 5.2, 7.0)]
    right, down = (size * SIZE[1] * (tones[k] + tones[k + 1]) for k in (0, 2))
    warps = [np.array([[1.0, 0, 20 + x], [0, 1.0, 20 + y]]) for x, y in zip(right, down, strict=True)]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return [cv2.warpAffine(world, warp, SIZE[::-1], flags=how) for warp in warps]


def _add_object(images: list[np.ndarray], over: np.ndarray, lefts: Sequence[int]) -> list[np.ndarray]:
    """Return images with an object before them; it is as large as `over`."""
    shown, (high, wide) = [], over.shape[:2]
    for image, left in zip(images, lefts, strict=True):
        canvas = np.pad(image, ((0, 0), (200, 200), (0, 0)))
        canvas[90 - high : 90, left + 200 : left + 200 + wide] = over
        shown.append(np.ascontiguousarray(canvas[:, 200:-200]))
    return shown


def test_a_shaking_camera_shakes_also_behind_an_object(moving: Draw, measure: Measure) -> None:
    over, ticks = next(moving(9, 1, size=SIZE)), [5] * 60
    shaken = _shaken(moving, 0.01)
    assert measure(shaken, ticks)[0].camera == "shake"
    drifting = [50 + k // 4 for k in range(60)]
    assert measure(_add_object(shaken, over[:50, :80], drifting), ticks)[0].camera_jitter > 0.36


def test_an_object_before_a_static_camera_is_neither_shake_nor_an_abrupt_move(
    moving: Draw, measure: Measure
) -> None:
    over, still = next(moving(9, 1, size=SIZE)), list(moving(7, 1, size=SIZE)) * 60
    swinging = [32 + round(6 * np.sin(2 * np.pi * 4.5 * k / 24)) for k in range(60)]
    motion, _ = measure(_add_object(still, over[:72, :128], swinging), [5] * 60)
    assert motion.camera == "static"
    assert motion.camera_jitter < 0.1
    passing = [min(192, max(-128, 12 * (k - 20))) for k in range(60)]
    motion, _ = measure(_add_object(still, over[:72, :128], passing), [5] * 60)
    assert motion.camera == "static"
    assert motion.object_motion > 0.01
