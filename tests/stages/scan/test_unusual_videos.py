"""Unusual but valid videos: every frame is there, at its time, and the stills match what a player shows."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from unusual_videos import CODECS_BY_FILE, with_display_matrix, write_video

from manifests import Artifact
from stages.media.decoding.video import frames
from stages.media.errors import UnreadableFile
from stages.media.signals import read_signals
from stages.media.strip import decode_still, read_strip
from stages.scan.scan_video import ScannedVideo
from stages.scan.spans import WHOLE_VIDEO, plan_spans

Draw = Callable[..., Iterator[np.ndarray]]
Scan = Callable[..., ScannedVideo]
METERS = ("light", "noise", "blocks", "sharpness", "color", "motion", "interlaced")


def stills(scanned: ScannedVideo) -> list[np.ndarray]:
    return [decode_still(still).astype(float) for still in read_strip(scanned)]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean difference of two images of equal size, in levels of 255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def combing(image: np.ndarray) -> float:
    """Return how much lines differ from the mean of their neighbors."""
    lines = image.mean(2)
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


def blur(image: np.ndarray) -> np.ndarray:
    blurred: np.ndarray = cv2.GaussianBlur(image, None, 3)
    return blurred


def frame_times(signals: Artifact) -> list[float]:
    times: list[float] = read_signals(signals, ["time_s"])["time_s"].tolist()
    return times


@pytest.mark.parametrize("name", CODECS_BY_FILE)
def test_every_container_gives_each_frame_at_its_time(
    tmp_path: Path, scan: Scan, moving: Draw, name: str
) -> None:
    drawn = list(moving(1, 30, step=(2, 1)))
    write_video(tmp_path / name, drawn, *CODECS_BY_FILE[name])
    scanned = scan(tmp_path / name)
    assert (scanned.scanned_frames, scanned.variable_rate) == (30, False)
    assert frame_times(scanned.signals) == [k / 25 for k in range(30)]
    assert scanned.scanned_s == pytest.approx(1.2, abs=0.002)
    assert scanned.strip_times_s == (0, 0.52, 1.0)
    for still, frame in zip(stills(scanned), (drawn[0], drawn[13], drawn[25]), strict=True):
        assert distance(still, frame) < 14


@pytest.mark.parametrize(
    ("codec", "layout"),
    [
        ("libx264", "yuv420p10le"),
        ("libx265", "yuv420p12le"),
        ("libx264", "yuv444p"),
        ("libx264", "gray"),
        ("ffv1", "gray16le"),
        ("ffv1", "bgra"),
        ("ffv1", "gbrp12le"),
        ("ffv1", "rgb48le"),
        ("ffv1", "yuv410p"),
        ("ffv1", "ya8"),
        ("png", "monob"),
        ("rawvideo", "nv12"),
        ("rawvideo", "uyvy422"),
        ("rawvideo", "rgb565le"),
        ("libvpx-vp9", "yuva420p"),
        ("qtrle", "argb"),
        ("mjpeg", "yuvj444p"),
    ],
)
def test_every_pixel_format_is_decoded_correctly(
    tmp_path: Path, scan: Scan, moving: Draw, codec: str, layout: str
) -> None:
    drawn = list(moving(2, 14, step=(2, 0)))
    ending = {"qtrle": "mov", "png": "mov", "rawvideo": "nut"}.get(codec, "mkv")
    path = tmp_path / f"film.{ending}"
    write_video(path, drawn, codec, layout)
    scanned = scan(path, meters=METERS)
    assert scanned.scanned_frames == 14
    is_gray = layout.startswith(("gray", "mono", "ya"))
    expected = [np.repeat(p.mean(2, keepdims=True), 3, 2) if is_gray else p for p in (drawn[0], drawn[13])]
    for still, image in zip(stills(scanned), expected, strict=True):
        if layout == "monob":  # dithered
            still, image = blur(still), blur(image)
        assert distance(still, image) < 16
    assert np.isfinite(read_signals(scanned.signals, ["noise"])["noise"]).any()


@pytest.mark.parametrize("full", [False, True])
def test_full_and_limited_range_have_equal_brightness(tmp_path: Path, scan: Scan, full: bool) -> None:
    ramp = np.repeat(np.linspace(0, 255, 160).astype(np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    write_video(tmp_path / "film.mp4", [ramp] * 3, "libx264", "yuv420p", full_range=full)
    [still] = stills(scan(tmp_path / "film.mp4", meters=()))
    assert distance(still, ramp) < 3


@pytest.mark.parametrize("size", [(5, 3), (33, 17), (1, 1), (2, 300), (300, 2), (9, 4097), (4097, 16)])
def test_odd_sizes(tmp_path: Path, scan: Scan, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    drawn = [np.full((*size, 3), rng.integers(30, 220, 3), np.uint8) for _ in range(14)]
    write_video(tmp_path / "film.mkv", drawn, "ffv1", "bgr0")
    scanned = scan(tmp_path / "film.mkv")
    assert scanned.scanned_frames == 14
    scale = min(1, 448 / max(size))
    for still, image in zip(stills(scanned), (drawn[0], drawn[13]), strict=True):
        assert still.shape[:2] == tuple(max(1, round(side * scale)) for side in size)
        assert np.abs(still.mean((0, 1)) - image.mean((0, 1))).max() < 6


@pytest.mark.parametrize("number", range(8))
def test_rotated_and_mirrored_videos_are_upright(
    tmp_path: Path, film: Callable[..., Path], scan: Scan, moving: Draw, number: int
) -> None:
    """The eight orientations of a display matrix: pixel (x, y) is shown at (ax + cy, bx + dy)."""
    signs = [(p, q) for p in (1, -1) for q in (1, -1)]
    matrix = [[(p, 0, 0, q), (0, p, q, 0)][number % 2] for p, q in signs][number // 2]
    image = blur(next(moving(3, 1)))
    a, b, c, d = matrix
    (tmp_path / "turned.mp4").write_bytes(
        with_display_matrix(film([image] * 5, crf=10).read_bytes(), a, b, c, d)
    )

    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    shown = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    shown[to_y, to_x] = image
    assert distance(next(frames(str(tmp_path / "turned.mp4"))).pixels(), shown) < 8
    [still] = stills(scan(tmp_path / "turned.mp4", meters=METERS))
    assert distance(still, shown) < 8


@pytest.mark.parametrize(("aspect", "shape"), [(Fraction(2), (48, 160)), (Fraction(1, 2), (96, 80))])
def test_stills_have_square_pixels(
    tmp_path: Path, scan: Scan, moving: Draw, aspect: Fraction, shape: tuple[int, int]
) -> None:
    write_video(tmp_path / "film.mp4", moving(3, 3), aspect=aspect)
    [still] = stills(scan(tmp_path / "film.mp4", meters=(), still_px=160))
    assert still.shape[:2] == shape


def test_an_absurd_aspect_ratio_is_rejected(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    write_video(tmp_path / "film.mp4", moving(3, 3), aspect=Fraction(20))
    with pytest.raises(UnreadableFile, match="the header says that a pixel is 20 times as wide as high"):
        scan(tmp_path / "film.mp4")


def test_irregular_frame_times_are_kept(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    at = [0, 1, 2, 7, 8, 40, 100, 101, 102, 103]
    write_video(tmp_path / "film.mkv", moving(1, 10), times=at)
    scanned = scan(tmp_path / "film.mkv", meters=())
    assert frame_times(scanned.signals) == [k / 25 for k in at]
    assert scanned.variable_rate
    assert scanned.strip_times_s == (0, 1.6, 4.0)  # one still after a gap, not many


def test_a_gap_of_hours_is_a_jump(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    write_video(tmp_path / "film.mkv", moving(1, 3), times=[0, 1, 25 * 3600 * 30])
    scanned = scan(tmp_path / "film.mkv", meters=())
    assert (scanned.clock_jumps, scanned.clock_jump_end_pts) == ((2,), (80,))
    assert not scanned.variable_rate


@pytest.mark.parametrize(("hours", "whole"), [(20, False), (20_000_000, True)])
def test_an_absurd_length_is_not_split(hours: int, whole: bool) -> None:
    first, stream = SimpleNamespace(pts=0, orientation=0), SimpleNamespace(duration=hours * 3600 * 1000)
    video: Any = SimpleNamespace(
        stream=stream, time_base=Fraction(1, 1000), frames_from_key_frame=lambda *_: iter([first])
    )
    assert (plan_spans(video, 600) == [WHOLE_VIDEO]) is whole


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("film.ts", "mpeg2video", {"flags": "+ildct+ilme", "b": "4M"}),
        ("film.mp4", "libx264", {"x264-params": "tff=1", "crf": "12"}),
    ],
)
def test_interlaced_videos_are_detected_and_their_stills_do_not_comb(
    tmp_path: Path, scan: Scan, moving: Draw, name: str, codec: str, options: dict[str, str]
) -> None:
    drawn = [blur(image) for image in moving(1, 27, size=(192, 320), step=(20, 0))]
    combed = [np.where(np.arange(192)[:, None, None] % 2, b, a) for a, b in pairwise(drawn)]
    write_video(tmp_path / name, combed, codec, options=options)
    scanned = scan(tmp_path / name, meters=METERS)
    assert (read_signals(scanned.signals, ["interlaced"])["interlaced"] == 1).all()
    still = stills(scanned)[1]
    assert combing(still) < 0.2 * combing(combed[13])
    assert distance(still, drawn[13]) < 0.75 * distance(still, drawn[14])  # the first field
    write_video(tmp_path / f"whole-{name}", drawn, codec, options={})
    whole = scan(tmp_path / f"whole-{name}", meters=METERS)
    assert (read_signals(whole.signals, ["interlaced"])["interlaced"] == 0).all()


def test_the_first_displayed_video_stream_is_scanned(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    drawn = list(moving(4, 20, step=(2, 0)))
    beside = {"film.mkv": ("aac", "words", "font"), "film.mp4": ("aac",), "film.ts": ("aac", "klv")}
    for name, extra in beside.items():
        write_video(tmp_path / name, drawn, streams=2, extra=extra)
        with av.open(str(tmp_path / name)) as container:
            assert (len(container.streams), len(container.streams.video)) == (2 + len(extra), 2)
        scanned = scan(tmp_path / name, meters=METERS)
        assert scanned.scanned_frames == 20
        assert distance(stills(scanned)[0], drawn[0]) < 14


def test_cover_art_is_not_the_video(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    from av.stream import Disposition

    cover, drawn = next(moving(9, 1)), list(moving(4, 20, step=(2, 0)))
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        art = container.add_stream("mjpeg", rate=1)
        art.width, art.height, art.pix_fmt, art.disposition = 160, 96, "yuvj420p", Disposition.attached_pic
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 160, 96, "yuv420p"
        for stream, images in ((art, [cover]), (film, drawn)):
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    scanned = scan(tmp_path / "film.mp4", meters=METERS)
    assert scanned.scanned_frames == 20
    assert distance(stills(scanned)[0], drawn[0]) < 14


def test_the_frame_size_may_change(tmp_path: Path, scan: Scan, moving: Draw) -> None:
    parts = []
    for number, size in enumerate([(96, 160), (180, 320), (64, 64)]):
        write_video(tmp_path / f"{number}.h264", moving(5, 14, size=size))
        parts.append((tmp_path / f"{number}.h264").read_bytes())
    (tmp_path / "film.h264").write_bytes(b"".join(parts))
    scanned = scan(tmp_path / "film.h264")
    assert scanned.scanned_frames == 42
    assert scanned.format_changes == (14, 28)
    assert {still.shape for still in stills(scanned)} == {(96, 160, 3), (180, 320, 3), (64, 64, 3)}
