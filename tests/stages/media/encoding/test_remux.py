"""Tests of packet copies: closed groups of pictures are copied, other spans are not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import frames
from stages.media.encoding.remux import copy_span

Draw = Callable[..., Iterator[np.ndarray]]


def _film(path: Path, images: Iterator[np.ndarray], **x264: str) -> Path:
    """Write 25 frames per second in groups of 12, with 2 B-frames between reference frames."""
    with av.open(str(path), "w") as film:
        options = {"g": "12", "keyint_min": "12", "sc_threshold": "0", "bf": "2", "preset": "fast", **x264}
        stream = film.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def _pts(film: Path) -> list[int]:
    return [frame.pts for frame in frames(str(film))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_closed_groups_are_copied(tmp_path: Path, moving: Draw, name: str) -> None:
    film = _film(tmp_path / name, moving(1, 48, step=(2, 1)))
    pts = _pts(film)
    copy = tmp_path / "copy.mp4"
    assert copy_span(str(film), copy, pts[12], pts[36])
    whole = [to_yuv420p(f, 160, 96).to_ndarray() for f in frames(str(film))]
    copied = [to_yuv420p(f, 160, 96).to_ndarray() for f in frames(str(copy))]
    assert len(copied) == 24
    assert all(np.array_equal(a, b) for a, b in zip(copied, whole[12:36], strict=True))


@pytest.mark.parametrize(("first", "end"), [(13, 36), (11, 36), (12, 35)])
def test_a_span_that_splits_a_group_is_not_copied(tmp_path: Path, moving: Draw, first: int, end: int) -> None:
    film = _film(tmp_path / "a.mp4", moving(1, 48, step=(2, 1)))
    pts = _pts(film)
    assert not copy_span(str(film), tmp_path / "copy.mp4", pts[first], pts[end])


def test_open_groups_are_not_copied(tmp_path: Path, moving: Draw) -> None:
    film = _film(tmp_path / "a.mp4", moving(1, 48, step=(2, 1)), **{"x264-params": "open-gop=1"})
    pts = _pts(film)
    with av.open(str(film)) as opened:
        keys = sorted(p.pts for p in opened.demux(video=0) if p.is_keyframe and p.size)
    first, end = (pts.index(key) for key in keys[1:3])
    assert not copy_span(str(film), tmp_path / "copy.mp4", pts[first], pts[end])
