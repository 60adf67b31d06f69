"""A cut clip begins and ends with the exact frames of its span, and a changed source is rejected.

Each frame of the videos shows its number as black and white blocks, which identify a decoded frame.
"""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from manifests import ClipmillError
from pipeline import Reject
from pipeline.planning.keys import hashed_settings
from stages.media.decoding.video import frames, open_video
from stages.media.encoding.arrays import write_mp4
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip

DrawFilm = Callable[..., Path]
RowOf = Callable[..., KeptClip]
Cut = Callable[[CutClip, KeptClip], ClipFile]


def _numbered(number: int, width: int, height: int) -> np.ndarray:
    """An image with eight columns, the last one the lowest bit; the lower half is gray."""
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(8):
        value = 235 if number >> (7 - bit) & 1 else 20
        image[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = value
    return image


def _number_of(image: np.ndarray) -> int:
    """The number that an image shows."""
    height, width = image.shape[:2]
    middles = [int((bit + 0.5) * width / 8) for bit in range(8)]
    return int("".join("1" if image[height // 4, x].mean() > 128 else "0" for x in middles), 2)


def _numbers_in(film: Path | str) -> list[int]:
    """The numbers of all frames of a film, in order."""
    return [_number_of(frame.pixels()) for frame in frames(str(film))]


@pytest.fixture
def draw_film(tmp_path: Path) -> DrawFilm:
    """draw_film("name.mp4", 50, fps=25, size=(128, 72), times=…, time_base=…) -> its path."""

    def draw(
        name: str,
        count: int,
        *,
        fps: Fraction | int = 25,
        size: tuple[int, int] = (128, 72),
        times: Sequence[int] | None = None,
        time_base: Fraction | None = None,
    ) -> Path:
        path = tmp_path / name
        images = (_numbered(number, *size) for number in range(count))
        write_mp4(path, images, fps, preset="ultrafast", keyint=12, times=times, time_base=time_base)
        return path

    return draw


def _numbers(out: ClipFile, folder: Path) -> list[int]:
    film = folder / "cut.mp4"
    film.write_bytes(out.clip.read())
    return _numbers_in(film)


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 60])
def test_each_frame_of_the_span_appears_once(
    draw_film: DrawFilm, tmp_path: Path, fps: Fraction, row_of: RowOf, cut: Cut
) -> None:
    row = row_of(draw_film("a.mp4", 60, fps=fps), 17, 43)
    out = cut(CutClip(), row)
    assert _numbers(out, tmp_path) == list(range(17, 43))
    assert (out.clip_frames, out.clip_fps) == (26, float(fps))
    assert out.clip_duration_s == pytest.approx(26 / float(fps))


def test_a_clip_to_the_end_of_the_video(draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut) -> None:
    assert _numbers(cut(CutClip(), row_of(draw_film("a.mp4", 30), 29, 30)), tmp_path) == [29]


def test_the_bytes_do_not_depend_on_other_rows(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    film = draw_film("a.mp4", 40)
    rows = [row_of(film, 3, 20), row_of(film, 20, 40)]
    first, second = CutClip().annotate(rows)
    again = list(CutClip().annotate(rows[::-1]))[::-1]
    assert [first, second] == again
    assert isinstance(first, ClipFile)
    assert first.clip.read() == cut(CutClip(), rows[0]).clip.read()


def test_half_the_rate_shows_every_second_frame(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut
) -> None:
    out = cut(CutClip(fps=12.5), row_of(draw_film("a.mp4", 60), 10, 50))
    assert _numbers(out, tmp_path) == list(range(10, 50, 2))
    assert out.clip_duration_s == pytest.approx(40 / 25)


def test_twice_the_rate_shows_frames_twice(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut
) -> None:
    numbers = _numbers(cut(CutClip(fps=50), row_of(draw_film("a.mp4", 30), 5, 15)), tmp_path)
    assert len(numbers) == 20
    assert sorted(set(numbers)) == list(range(5, 15))
    assert numbers == sorted(numbers)


def test_a_varying_rate_becomes_constant(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut
) -> None:
    times = [0, 40, 80, 120, 320, 520, 560, 600, 640]  # ms; two frames last 0.2 s
    film = draw_film("a.mp4", 9, times=times, time_base=Fraction(1, 1000))
    out = cut(CutClip(fps=25), row_of(film, 0, 9, variable_rate=True))
    assert _numbers(out, tmp_path) == [0, 1, 2, *[3] * 3, *[4] * 5, *[5] * 3, 6, 7, 8]


def test_clips_shrink_to_even_sides_and_are_never_enlarged(
    draw_film: DrawFilm, row_of: RowOf, cut: Cut
) -> None:
    film = draw_film("a.mp4", 10, size=(202, 114))
    small = cut(CutClip(max_short_side_px=60), row_of(film, 0, 10))
    assert (small.clip_width_px, small.clip_height_px) == (106, 60)
    kept = cut(CutClip(max_short_side_px=720), row_of(film, 0, 10))
    assert (kept.clip_width_px, kept.clip_height_px) == (202, 114)


def test_a_source_that_is_missing_or_changed_is_rejected(draw_film: DrawFilm, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    good = row_of(film, 0, 20)
    rows = [
        row_of(film, 0, 20, uri=f"{film}.gone"),
        row_of(film, 0, 20, size_bytes=good.size_bytes + 1),
        row_of(film, 0, 20, end_frame=21),
        row_of(film, 0, 20, start_pts=10**9, end_pts=10**9 + 10),
        good,
    ]
    *bad, last = CutClip().annotate(rows)
    assert all(isinstance(result, Reject) for result in bad)
    reasons = [str(result) for result in bad]
    assert "missing" in reasons[0]
    assert "changed" in reasons[1]
    assert "20 frames in this span, and had 21 during the scan" in reasons[2]
    assert "no longer has frames in this span" in reasons[3]
    assert isinstance(last, ClipFile)


def test_the_columns_describe_the_file(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    out = cut(CutClip(), row_of(draw_film("a.mp4", 60, fps=30, size=(203, 115)), 10, 40))
    with av.open(io.BytesIO(out.clip.read())) as clip:
        stream = clip.streams.video[0]
        decoded = list(clip.decode(stream))
    assert (out.clip_width_px, out.clip_height_px) == (decoded[0].width, decoded[0].height) == (202, 114)
    assert (
        (out.clip_frames, out.clip_duration_s, out.clip_fps) == (len(decoded), 1.0, 30.0) == (30, 1.0, 30.0)
    )
    assert out.clip_size_bytes == out.clip.size_bytes == len(out.clip.read())
    assert (out.clip_method, out.clip_codec, out.clip_audio) == ("encoded", "h264", "")


def test_without_a_constant_frame_rate_each_frame_has_its_own_time(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut
) -> None:
    times = [0, 40, 80, 120, 320, 520, 560, 600, 640]  # ms
    film = draw_film("a.mp4", 9, times=times, time_base=Fraction(1, 1000))
    out = cut(CutClip(constant_frame_rate=False), row_of(film, 1, 8, variable_rate=True))
    assert _numbers(out, tmp_path) == list(range(1, 8))
    with open_video(str(tmp_path / "cut.mp4")) as video:
        times_s = [float(frame.pts * video.time_base) for frame in video.frames()]
    assert times_s == pytest.approx([(ms - 40) / 1000 for ms in times[1:8]], abs=1e-4)
    assert out.clip_duration_s == pytest.approx(0.6)


def test_a_clip_can_shrink_to_the_size_of_its_bucket(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    tall = draw_film("a.mp4", 3, size=(400, 700))
    small = draw_film("b.mp4", 3, size=(300, 200))
    sizes = [
        (out.clip_width_px, out.clip_height_px)
        for out in (cut(CutClip(to_bucket="shrink"), row_of(film, 0, 3)) for film in (tall, small))
    ]
    assert sizes == [(360, 630), (300, 200)]


def test_the_number_of_threads_is_part_of_the_key_and_the_bytes_are_reproducible(
    draw_film: DrawFilm, row_of: RowOf, cut: Cut
) -> None:
    row = row_of(draw_film("a.mp4", 40, size=(320, 180)), 0, 40)
    two = {cut(CutClip(threads=2), row).clip.sha256 for _ in range(3)}
    assert len(two) == 1
    assert hashed_settings(CutClip(threads=2)) != hashed_settings(CutClip())


def test_a_source_of_equal_size_and_other_content_is_rejected(
    draw_film: DrawFilm, row_of: RowOf, cut: Cut
) -> None:
    film = draw_film("a.mp4", 40)
    row = row_of(film, 0, 20)
    assert cut(CutClip(), row)
    changed = bytearray(film.read_bytes())
    changed[len(changed) // 2] ^= 1
    film.write_bytes(changed)
    [result] = CutClip().annotate([row])
    assert isinstance(result, Reject)
    assert "its content differs from when it was listed" in str(result)


def test_a_source_that_shrinks_after_the_scan_is_rejected(draw_film: DrawFilm, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    row = row_of(film, 0, 20)
    film.write_bytes(film.read_bytes()[:-100])
    [result] = CutClip().annotate([row])
    assert isinstance(result, Reject)
    assert "the source has changed" in str(result)


@pytest.mark.parametrize("name", ["a b.mp4", "line\nbreak.mp4", 'it\'s "so".mp4', "..odd..mp4", "%41#?.mp4"])
def test_unusual_file_names(draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut, name: str) -> None:
    film = draw_film(name, 12)
    for stage in (CutClip(audio="aac"), CutClip(copy_packets=True)):
        assert _numbers(cut(stage, row_of(film, 0, 12)), tmp_path) == list(range(12))


def test_a_reject_leaves_no_temporary_file(draw_film: DrawFilm, drafts: Path, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    before = set(drafts.iterdir())
    [result] = CutClip().annotate([row_of(film, 0, 20, end_frame=21)])
    assert isinstance(result, Reject)
    assert set(drafts.iterdir()) == before


@pytest.mark.parametrize(
    ("settings", "known"),
    [({"audio": "mp3"}, "opus"), ({"encoder": "x266"}, "nvenc"), ({"preset": "x"}, "slow")],
)
def test_an_unknown_value_is_an_error_that_lists_the_known_ones(settings: dict[str, str], known: str) -> None:
    with pytest.raises(ClipmillError, match=known):
        CutClip(**settings)


@pytest.mark.parametrize(("setting", "value"), [("threads", 0), ("crf", 52), ("crf", -1), ("fps", 1e-4)])
def test_a_number_out_of_range_is_an_error(setting: str, value: Any) -> None:
    with pytest.raises(ClipmillError, match=f"{setting} is {value}"):
        CutClip(**{setting: value})


def test_a_copy_with_another_length_than_the_scan_is_rejected(draw_film: DrawFilm, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    whole, other = row_of(film, 0, 40), row_of(film, 0, 40, end_frame=41)
    first, second = CutClip(copy_packets=True).annotate([whole, other])
    assert isinstance(first, ClipFile)
    assert first.clip_method == "copied"
    assert isinstance(second, Reject)
    assert "40 frames in this span, and had 41 during the scan" in str(second)


def test_a_machine_without_nvenc_fails_before_the_first_clip() -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine may have NVENC")
    with pytest.raises(ClipmillError, match="encoder h264_nvenc cannot be opened") as caught:
        CutClip(encoder="nvenc").open()
    assert "choose another encoder" in caught.value.remedy
