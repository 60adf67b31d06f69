"""Motion vectors are upright, in longer sides per second, and exported only on request."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.media.decoding.video import open_video
from stages.media.signals import read_signals
from stages.scan.meters.motion_vectors import MotionVectors
from stages.scan.scan_video import METERS, ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
Scan = Callable[..., ScannedVideo]


def _values(scanned: ScannedVideo) -> dict[str, np.ndarray]:
    return read_signals(scanned.signals, MotionVectors.columns)


@pytest.mark.parametrize("step", [(4.0, 0.0), (-3.0, 2.0)])
def test_a_pan_is_measured(
    film: Callable[..., Path], scan: Scan, moving: Draw, step: tuple[float, float]
) -> None:
    path = film(moving(2, 40, size=(180, 320), step=step), fps=25, crf=18)
    values = _values(scan(path, meters=("motion_vectors",)))
    known = np.isfinite(values["vector_motion"])
    assert not known[0]
    assert 8 <= known.sum() < 40
    assert np.median(values["vector_pan"][known]) == pytest.approx(step[0] * 25 / 320, rel=0.1)
    assert np.median(values["vector_tilt"][known]) == pytest.approx(-step[1] * 25 / 320, rel=0.1, abs=0.01)
    assert np.median(values["vector_motion"][known]) == pytest.approx(np.hypot(*step) * 25 / 320, rel=0.25)
    assert np.median(values["vector_share"][known]) > 0.8


def test_the_result_does_not_depend_on_threads(film: Callable[..., Path], scan: Scan, moving: Draw) -> None:
    path = film(moving(2, 40, size=(180, 320), step=(2.0, 1.0)), fps=25)
    one, three = (scan(path, meters=("motion_vectors",), threads=n) for n in (1, 3))
    assert one.signals == three.signals


def test_vectors_agree_with_the_flow_on_a_real_video(footage: Path, scan: Scan) -> None:
    path = footage / "single/mdnla__frog.mp4"
    scanned = scan(path, meters=("motion_vectors", "motion"))
    values = read_signals(scanned.signals, [*MotionVectors.columns, "pan", "tilt", "time_s"])
    for flow, vector in (("pan", "vector_pan"), ("tilt", "vector_tilt")):
        seconds = np.floor(values["time_s"]).astype(int)
        means = [[np.nanmean(values[n][seconds == s]) for s in range(seconds.max())] for n in (flow, vector)]
        assert np.corrcoef(means)[0, 1] > 0.7


def test_other_codecs_are_nan(footage: Path, scan: Scan) -> None:
    values = _values(scan(footage / "odd/torchcodec__av1_video.mkv", meters=("motion_vectors",)))
    assert all(np.isnan(column).all() for column in values.values())


def test_vectors_are_exported_only_on_request(film: Callable[..., Path], moving: Draw) -> None:
    assert "motion_vectors" not in METERS
    path = film(moving(2, 8, step=(2.0, 0.0)))
    with open_video(str(path)) as video:
        assert all(frame.motion_vectors() is None for frame in video.frames())
    with open_video(str(path), motion_vectors=True) as video:
        assert any(frame.motion_vectors() is not None for frame in video.frames())
