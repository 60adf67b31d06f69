"""Compares clips cut from real videos with the source, pixel by pixel: lossless, lossy and copied."""

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import open_video
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip

RowOf = Callable[..., KeptClip]
Cut = Callable[[CutClip, KeptClip], ClipFile]

FILMS = [
    "natural/imageio__cockatoo.mp4",  # 4:4:4; decodes correctly only from its beginning
    "natural/psd__issue-134-rotate.mp4",
    "natural/psd__issue-195-aspect-ratio.mp4",  # pixels are not square
    "natural/simpl__smaller.webm",  # VP8
    "odd/decord__video_90.mov",
    "odd/decord__video_180.mov",
    "odd/imageio__newtonscradle.gif",  # RGB
    "odd/mmaction2__test.avi",
    "odd/psd__delayed_start.mp4",
    "odd/torchcodec__av1_video.mkv",
    "odd/torchcodec__bt709_full_range.mp4",
    "odd/torchcodec__h265_10bits.mp4",
]


def planes(film: str, start: int | None = None, end: int | None = None) -> Iterator[np.ndarray]:
    """The planes of the frames of a span, as a player shows them: 8-bit 4:2:0, uint8 [3h/2 w]."""
    with open_video(film) as video:
        for frame in video.frames(start, end):
            yield to_yuv420p(frame, *frame.display_size).to_ndarray()


def digests(film: str, start: int | None = None, end: int | None = None) -> list[str]:
    return [hashlib.sha256(p.tobytes()).hexdigest() for p in planes(film, start, end)]


def times(film: str, start: int | None = None, end: int | None = None) -> list[Fraction]:
    """The times of the frames, in seconds from the first frame of the span."""
    with open_video(film) as video:
        pts = [frame.pts for frame in video.frames(start, end)]
        return [(p - pts[0]) * video.time_base for p in pts]


def _psnr_db(clip: np.ndarray, source: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = ((clip.astype(np.float64) - source) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _span(footage: Path, name: str, row_of: RowOf) -> KeptClip:
    film = footage / name
    with open_video(str(film)) as video:
        count = sum(1 for _ in video.frames())
    first = max(0, min(count - 9, 97))
    return row_of(film, first, min(count, first + 8))


@pytest.mark.parametrize("name", FILMS)
def test_a_lossless_clip_has_the_exact_pixels_of_its_span(
    footage: Path, row_of: RowOf, cut: Cut, name: str
) -> None:
    row = _span(footage, name, row_of)
    out = cut(CutClip(crf=0), row)
    with out.clip.local() as clip:
        assert digests(str(clip)) == digests(row.uri, row.start_pts, row.end_pts)


@pytest.mark.parametrize("name", FILMS)
def test_each_frame_of_a_lossy_clip_is_close_to_the_source(
    footage: Path, row_of: RowOf, cut: Cut, name: str
) -> None:
    row = _span(footage, name, row_of)
    out = cut(CutClip(), row)
    with out.clip.local() as clip:
        pairs = zip(planes(str(clip)), planes(row.uri, row.start_pts, row.end_pts), strict=True)
        assert all(_psnr_db(*pair) > 34 for pair in pairs)
        rate = Fraction(out.clip_fps).limit_denominator(1001)
        assert times(str(clip)) == [k / rate for k in range(out.clip_frames)]
    assert out.clip_frames == row.end_frame - row.start_frame > 2


def test_a_clip_of_varying_rate_has_its_own_times_or_even_ones(
    footage: Path, row_of: RowOf, cut: Cut
) -> None:
    film = footage / "natural/psd__goldeneye-vfr-drop3.mp4"
    row = row_of(film, 60, 84, variable_rate=True)
    kept = cut(CutClip(crf=0, constant_frame_rate=False, preset="ultrafast"), row)
    with kept.clip.local() as clip:
        assert digests(str(clip)) == digests(row.uri, row.start_pts, row.end_pts)
        source_times = times(row.uri, row.start_pts, row.end_pts)
        errors = [abs(a - b) for a, b in zip(times(str(clip)), source_times, strict=True)]
    assert max(errors) <= Fraction(1, 10_000)
    assert len({b - a for a, b in pairwise(source_times)}) > 1, "the rate does not vary in this span"
    even = cut(CutClip(crf=0, preset="ultrafast"), row)
    with even.clip.local() as clip:
        shown, source = digests(str(clip)), digests(row.uri, row.start_pts, row.end_pts)
    assert (shown[0], shown[-1]) == (source[0], source[-1])
    assert set(shown) <= set(source)
    assert even.clip_duration_s == pytest.approx(kept.clip_duration_s, abs=1 / even.clip_fps)


def _key_frames(film: Path) -> list[int]:
    with open_video(str(film)) as video:
        return [number for number, frame in enumerate(video.frames()) if frame.raw.key_frame]


def test_a_span_of_whole_groups_of_pictures_is_copied_and_others_are_encoded(
    footage: Path, row_of: RowOf, cut: Cut
) -> None:
    film = footage / "natural/webrtc__chrome.mp4"
    first, end = _key_frames(film)[1:3]
    stage = CutClip(copy_packets=True)
    row = row_of(film, first, end)
    copied = cut(stage, row)
    assert copied.clip_method == "copied"
    with copied.clip.local() as clip:
        assert digests(str(clip)) == digests(row.uri, row.start_pts, row.end_pts)
    assert copied.clip_frames == end - first
    late = cut(stage, row_of(film, first + 1, min(end, first + 9)))
    assert (late.clip_method, late.clip_frames) == ("encoded", min(end, first + 9) - first - 1)
    assert cut(CutClip(), row).clip_method == "encoded"
    assert cut(CutClip(copy_packets=True, max_short_side_px=200), row).clip_method == "encoded"


def test_the_audio_of_a_real_video_is_cut_with_it(footage: Path, row_of: RowOf, cut: Cut) -> None:
    row = row_of(footage / "natural/psd__issue-195-aspect-ratio.mp4", 40, 90)
    for audio in ("aac", "opus", "copy"):
        out = cut(CutClip(audio=audio, preset="ultrafast"), row)
        assert out.clip_audio == ("aac" if audio == "copy" else audio)
        assert out.clip.sha256 == cut(CutClip(audio=audio, preset="ultrafast"), row).clip.sha256


def test_packets_of_other_codecs_are_copied(footage: Path, row_of: RowOf, cut: Cut) -> None:
    av1 = cut(CutClip(copy_packets=True), row_of(footage / "odd/torchcodec__av1_video.mkv", 0, -1))
    assert (av1.clip_method, av1.clip_codec) == ("copied", "av1")
    mp3 = cut(CutClip(audio="copy", preset="ultrafast"), row_of(footage / "odd/mmaction2__test.avi", 10, 60))
    assert (mp3.clip_method, mp3.clip_codec, mp3.clip_audio) == ("encoded", "h264", "mp3")
