"""Tests of decoding: frames are in order, have exact times, are upright, and do not depend on the span."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from stages.media.decoding.video import frames, open_video
from stages.media.errors import UnreadableFile

Draw = Callable[..., Iterator[np.ndarray]]
DrawFilm = Callable[..., Path]
UNUSUAL = ["decord__unordered.mov", "imageio__newtonscradle.gif", "mmaction2__test.avi",
           "psd__delayed_start.mp4", "torchcodec__av1_video.mkv", "torchcodec__h265_10bits.mp4",
           "mdnie__flower.webm"]  # fmt: skip


def _check_spans(path: Path, spans: list[tuple[int, int]]) -> None:
    whole = [(f.pts, f.pixels("gray", 32, 32)) for f in frames(str(path))]
    for start, end in spans:
        end_pts = whole[end][0] if end < len(whole) else None
        found = [(f.pts, f.pixels("gray", 32, 32)) for f in frames(str(path), whole[start][0], end_pts)]
        assert [pts for pts, _ in found] == [pts for pts, _ in whole[start:end]]
        for (_, one), (_, other) in zip(found, whole[start:end], strict=True):
            assert_array_equal(one, other)


def test_times_are_exact_and_spans_are_frame_exact(film: DrawFilm, moving: Draw) -> None:
    path = film(moving(1, 60, step=(2, 1)), fps=Fraction(30000, 1001), keyint=13)
    with open_video(str(path)) as video:
        assert video.fps == Fraction(30000, 1001)
        times = [f.pts * video.time_base for f in video.frames()]
    assert times == [Fraction(1001 * k, 30000) for k in range(60)]
    _check_spans(path, [(0, 60), (0, 1), (12, 14), (25, 27), (59, 60), (13, 26)])


def test_a_variable_rate_keeps_its_times(film: DrawFilm, moving: Draw) -> None:
    times = [0, 40, 70, 150, 151, 400]
    path = film(moving(1, 6), times=times, time_base=Fraction(1, 1000))
    with open_video(str(path)) as video:
        assert [f.pts * video.time_base * 1000 for f in video.frames()] == times


def test_threads_change_nothing(film: DrawFilm, moving: Draw) -> None:
    path = film(moving(2, 40, step=(3, 0)))
    one, two = ([(f.pts, f.pixels().tobytes()) for f in frames(str(path), threads=n)] for n in (1, 3))
    assert one == two


def test_a_threaded_decoder_can_be_closed_early(film: DrawFilm, moving: Draw) -> None:
    path = film(moving(2, 200, size=(32, 32)))
    for _ in range(20):
        assert next(frames(str(path), threads=4)).pts == 0


@pytest.mark.parametrize("name", UNUSUAL)
def test_spans_of_unusual_files_equal_the_whole_video(footage: Path, name: str) -> None:
    _check_spans(footage / "odd" / name, [(0, 2), (1, 3)])


def test_times_that_run_backwards_are_repaired(footage: Path) -> None:
    pts = [f.pts for f in frames(str(footage / "odd/mmaction2__test.avi"))]
    assert pts == list(range(164))


def test_rotated_videos_are_upright(footage: Path) -> None:
    import cv2

    for name in ("decord__video_90.mov", "decord__video_180.mov", "decord__video_270.mov"):
        path = str(footage / "odd" / name)
        _, upright = cv2.VideoCapture(path).read()
        assert_array_equal(next(frames(path)).pixels("bgr24", interpolation="BILINEAR"), upright)


def test_pixels_have_the_requested_layout_and_size(film: DrawFilm, moving: Draw) -> None:
    frame = next(frames(str(film(moving(3, 2)))))
    assert frame.pixels().shape == (96, 160, 3)
    assert frame.pixels("gray", 20, 10).shape == (10, 20)
    assert_array_equal(frame.pixels("rgb24")[..., ::-1], frame.pixels("bgr24"))
    assert frame.pixels().flags.writeable
    assert frame.pixels("gray").dtype == np.uint8


def test_files_that_are_not_videos_are_errors(tmp_path: Path, film: DrawFilm, moving: Draw) -> None:
    whole = film(moving(4, 50, step=(4, 0))).read_bytes()
    files = {
        "empty.mp4": (b"", "the file is empty"),
        "text.mp4": (b"Only words.\n" * 99, "the file holds text"),
        "list.mp4": (b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n", "the file holds text"),
        "noise.mp4": (bytes(range(256)) * 40, "unknown container format"),
        "indexless.mp4": (whole[:36], "without its index"),
        "short.mp4": (whole[: len(whole) * 6 // 10], "decoding failed after"),
    }
    for name, (data, reason) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableFile, match=reason):
            list(frames(str(tmp_path / name)))
    with pytest.raises(UnreadableFile, match="the file does not exist"):
        list(frames(str(tmp_path / "nowhere.mp4")))
    with pytest.raises(UnreadableFile, match="folder"):
        list(frames(str(tmp_path)))


def test_a_file_with_audio_only_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "audio.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        audio = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        audio.sample_rate = 16000
        container.mux(stream.encode(audio))
        container.mux(stream.encode(None))
    with pytest.raises(UnreadableFile, match="no video stream: only audio"):
        list(frames(str(path)))


def test_an_interrupted_recording_is_incomplete(tmp_path: Path, footage: Path) -> None:
    data = (footage / "natural/simpl__smaller.webm").read_bytes()
    for share, whole in ((1.0, True), (0.6, False)):
        path = tmp_path / f"{share}.webm"
        path.write_bytes(data[: int(len(data) * share)])
        with open_video(str(path)) as video:
            for _ in video.frames():
                pass
            if whole:
                video.check_complete()
            else:
                with pytest.raises(UnreadableFile, match="cut short: it ends at 0:1"):
                    video.check_complete()


def test_remote_videos_are_read_through_fsspec(film: DrawFilm, moving: Draw) -> None:
    import fsspec

    path = film(moving(5, 12))
    with fsspec.open("memory://films/a.mp4", "wb") as file:
        file.write(path.read_bytes())
    assert len(list(frames("memory://films/a.mp4"))) == 12
    with pytest.raises(UnreadableFile, match="does not exist"):
        list(frames("memory://films/b.mp4"))


def test_8_bit_luma_is_a_view_without_a_copy(footage: Path, film: DrawFilm, moving: Draw) -> None:
    pictures = list(moving(1, 2, size=(90, 160)))
    first = next(frames(str(film(pictures))))
    assert np.shares_memory(first.luma(), first.luma())
    assert_array_equal(first.luma(), first.raw.to_ndarray()[:90])
    deep = next(frames(str(footage / "odd/torchcodec__h265_10bits.mp4")))
    assert deep.luma().shape == (deep.raw.height, deep.raw.width)
    assert deep.luma().mean() == pytest.approx(deep.raw.to_ndarray()[: deep.raw.height].mean() / 4, rel=0.1)
