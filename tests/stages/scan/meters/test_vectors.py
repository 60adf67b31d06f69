"""The codec's vectors are read upright, in longer sides a second, and only where they are asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.media.decode import open_video
from stages.media.signals import read_signals
from stages.scan.meters.vectors import Vectors
from stages.scan.scan_video import METERS, Scanned

Draw = Callable[..., Iterator[np.ndarray]]
Scan = Callable[..., Scanned]


def _said(scanned: Scanned) -> dict[str, np.ndarray]:
    return read_signals(scanned.signals, Vectors.columns)


@pytest.mark.parametrize("step", [(4.0, 0.0), (-3.0, 2.0)])
def test_a_pan_is_found(
    film: Callable[..., Path], scan: Scan, moving: Draw, step: tuple[float, float]
) -> None:
    path = film(moving(2, 40, size=(180, 320), step=step), fps=25, crf=18)
    said = _said(scan(path, meters=("vectors",)))
    known = np.isfinite(said["vector_motion"])
    assert not known[0]
    assert 8 <= known.sum() < 40
    assert np.median(said["vector_pan"][known]) == pytest.approx(step[0] * 25 / 320, rel=0.1)
    assert np.median(said["vector_tilt"][known]) == pytest.approx(-step[1] * 25 / 320, rel=0.1, abs=0.01)
    assert np.median(said["vector_motion"][known]) == pytest.approx(np.hypot(*step) * 25 / 320, rel=0.25)
    assert np.median(said["vector_share"][known]) > 0.8


def test_they_are_the_same_for_any_threads(film: Callable[..., Path], scan: Scan, moving: Draw) -> None:
    path = film(moving(2, 40, size=(180, 320), step=(2.0, 1.0)), fps=25)
    one, three = (scan(path, meters=("vectors",), threads=n) for n in (1, 3))
    assert one.signals == three.signals


def test_they_agree_with_the_flow_on_a_real_film(footage: Path, scan: Scan) -> None:
    path = footage / "single/mdnla__frog.mp4"
    scanned = scan(path, meters=("vectors", "motion"))
    said = read_signals(scanned.signals, [*Vectors.columns, "pan", "tilt", "time_s"])
    for ours, theirs in (("pan", "vector_pan"), ("tilt", "vector_tilt")):
        seconds = np.floor(said["time_s"]).astype(int)
        means = [[np.nanmean(said[n][seconds == s]) for s in range(seconds.max())] for n in (ours, theirs)]
        assert np.corrcoef(means)[0, 1] > 0.7


def test_other_codecs_say_nothing(footage: Path, scan: Scan) -> None:
    said = _said(scan(footage / "odd/torchcodec__av1_video.mkv", meters=("vectors",)))
    assert all(np.isnan(values).all() for values in said.values())


def test_nobody_pays_who_did_not_ask(film: Callable[..., Path], moving: Draw) -> None:
    assert "vectors" not in METERS
    path = film(moving(2, 8, step=(2.0, 0.0)))
    with open_video(str(path)) as video:
        assert all(frame.vectors() is None for frame in video.frames())
    with open_video(str(path), vectors=True) as video:
        assert any(frame.vectors() is not None for frame in video.frames())
