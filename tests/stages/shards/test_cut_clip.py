"""A cut clip begins and ends with the very frames of its span, and a changed source is told from a kept one.

The films carry in each frame its number, as black and white blocks: a decoded frame tells which it is.
"""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import ClipmillError
from pipeline import Reject
from pipeline.planning.keys import hashed_settings
from stages.media.decode import frames, open_video
from stages.media.encode import write_mp4
from stages.shards.cut_clip import CutClip, CutOut, KeptClip

DrawFilm = Callable[..., Path]
RowOf = Callable[..., KeptClip]
Cut = Callable[[CutClip, KeptClip], CutOut]


def _numbered(number: int, wide: int, high: int) -> np.ndarray:
    """Eight columns, the last one the lowest bit; grey below, so that up is up."""
    picture = np.full((high, wide, 3), 90, np.uint8)
    for bit in range(8):
        value = 235 if number >> (7 - bit) & 1 else 20
        picture[: high // 2, bit * wide // 8 : (bit + 1) * wide // 8] = value
    return picture


def _number_of(picture: np.ndarray) -> int:
    """The number that a picture carries."""
    high, wide = picture.shape[:2]
    middles = [int((bit + 0.5) * wide / 8) for bit in range(8)]
    return int("".join("1" if picture[high // 4, x].mean() > 128 else "0" for x in middles), 2)


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
        pictures = (_numbered(number, *size) for number in range(count))
        write_mp4(path, pictures, fps, preset="ultrafast", keyint=12, times=times, time_base=time_base)
        return path

    return draw


def _numbers(out: CutOut, folder: Path) -> list[int]:
    film = folder / "cut.mp4"
    film.write_bytes(out.clip.read())
    return _numbers_in(film)


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 60])
def test_every_frame_of_the_span_once(
    draw_film: DrawFilm, tmp_path: Path, fps: Fraction, row_of: RowOf, cut: Cut
) -> None:
    row = row_of(draw_film("a.mp4", 60, fps=fps), 17, 43)
    out = cut(CutClip(), row)
    assert _numbers(out, tmp_path) == list(range(17, 43))
    assert (out.clip_frames, out.clip_fps) == (26, float(fps))
    assert out.clip_duration_s == pytest.approx(26 / float(fps))


def test_a_clip_to_the_very_end(draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut) -> None:
    assert _numbers(cut(CutClip(), row_of(draw_film("a.mp4", 30), 29, 30)), tmp_path) == [29]


def test_same_clip_same_bytes_in_any_company(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    film = draw_film("a.mp4", 40)
    rows = [row_of(film, 3, 20), row_of(film, 20, 40)]
    first, second = CutClip().annotate(rows)
    again = list(CutClip().annotate(rows[::-1]))[::-1]
    assert [first, second] == again
    assert isinstance(first, CutOut)
    assert first.clip.read() == cut(CutClip(), rows[0]).clip.read()


def test_half_the_rate_takes_every_other_frame(
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
    times = [0, 40, 80, 120, 320, 520, 560, 600, 640]  # milliseconds; two frames stand for 0.2 s
    film = draw_film("a.mp4", 9, times=times, time_base=Fraction(1, 1000))
    out = cut(CutClip(fps=25), row_of(film, 0, 9, variable_rate=True))
    assert _numbers(out, tmp_path) == [0, 1, 2, *[3] * 3, *[4] * 5, *[5] * 3, 6, 7, 8]


def test_size_shrinks_to_even_sides_and_never_grows(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    film = draw_film("a.mp4", 10, size=(202, 114))
    small = cut(CutClip(short_side_px=60), row_of(film, 0, 10))
    assert (small.clip_width_px, small.clip_height_px) == (106, 60)
    kept = cut(CutClip(short_side_px=720), row_of(film, 0, 10))
    assert (kept.clip_width_px, kept.clip_height_px) == (202, 114)


def test_a_source_that_vanished_changed_or_lost_frames(draw_film: DrawFilm, row_of: RowOf) -> None:
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
    assert all(isinstance(answer, Reject) for answer in bad)
    reasons = [str(answer) for answer in bad]
    assert "gone" in reasons[0]
    assert "changed" in reasons[1]
    assert "20 frames in this span, where the scan saw 21" in reasons[2]
    assert "no frames in this span" in reasons[3]
    assert isinstance(last, CutOut)


def test_what_a_clip_holds_is_read_from_its_file(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    out = cut(CutClip(), row_of(draw_film("a.mp4", 60, fps=30, size=(203, 115)), 10, 40))
    with av.open(io.BytesIO(out.clip.read())) as clip:
        stream = clip.streams.video[0]
        shown = list(clip.decode(stream))
    assert (out.clip_width_px, out.clip_height_px) == (shown[0].width, shown[0].height) == (202, 114)
    assert (out.clip_frames, out.clip_duration_s, out.clip_fps) == (len(shown), 1.0, 30.0) == (30, 1.0, 30.0)
    assert out.clip_size_bytes == out.clip.size_bytes == len(out.clip.read())
    assert (out.clip_way, out.clip_codec, out.clip_audio) == ("encoded", "h264", "")


def test_without_a_constant_rate_each_frame_keeps_its_time(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut
) -> None:
    times = [0, 40, 80, 120, 320, 520, 560, 600, 640]  # milliseconds
    film = draw_film("a.mp4", 9, times=times, time_base=Fraction(1, 1000))
    out = cut(CutClip(constant_rate=False), row_of(film, 1, 8, variable_rate=True))
    assert _numbers(out, tmp_path) == list(range(1, 8))
    with open_video(str(tmp_path / "cut.mp4")) as video:
        shown = [float(frame.pts * video.time_base) for frame in video.frames()]
    assert shown == pytest.approx([(ms - 40) / 1000 for ms in times[1:8]], abs=1e-4)
    assert out.clip_duration_s == pytest.approx(0.6)


def test_a_clip_may_shrink_to_the_size_of_its_bucket(draw_film: DrawFilm, row_of: RowOf, cut: Cut) -> None:
    tall = draw_film("a.mp4", 3, size=(400, 700))
    small = draw_film("b.mp4", 3, size=(300, 200))
    sizes = [
        (out.clip_width_px, out.clip_height_px)
        for out in (cut(CutClip(bucket_size=True), row_of(film, 0, 3)) for film in (tall, small))
    ]
    assert sizes == [(360, 630), (300, 200)]


def test_another_number_of_threads_is_another_key_and_repeats_itself(
    draw_film: DrawFilm, row_of: RowOf, cut: Cut
) -> None:
    row = row_of(draw_film("a.mp4", 40, size=(320, 180)), 0, 40)
    two = {cut(CutClip(threads=2), row).clip.sha256 for _ in range(3)}
    assert len(two) == 1
    assert hashed_settings(CutClip(threads=2)) != hashed_settings(CutClip())


def test_the_source_is_known_by_its_content_not_by_its_size(
    draw_film: DrawFilm, row_of: RowOf, cut: Cut
) -> None:
    film = draw_film("a.mp4", 40)
    row = row_of(film, 0, 20)
    assert cut(CutClip(), row)
    changed = bytearray(film.read_bytes())
    changed[len(changed) // 2] ^= 1
    film.write_bytes(changed)
    [answer] = CutClip().annotate([row])
    assert isinstance(answer, Reject)
    assert "its content is not what was listed" in str(answer)


def test_a_source_that_shrinks_after_the_scan_is_refused(draw_film: DrawFilm, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    row = row_of(film, 0, 20)
    film.write_bytes(film.read_bytes()[:-100])
    [answer] = CutClip().annotate([row])
    assert isinstance(answer, Reject)
    assert "the source has changed" in str(answer)


@pytest.mark.parametrize("name", ["a b.mp4", "line\nbreak.mp4", 'it\'s "so".mp4', "..odd..mp4", "%41#?.mp4"])
def test_names_that_files_may_have(
    draw_film: DrawFilm, tmp_path: Path, row_of: RowOf, cut: Cut, name: str
) -> None:
    film = draw_film(name, 12)
    for stage in (CutClip(audio="aac"), CutClip(copy=True)):
        assert _numbers(cut(stage, row_of(film, 0, 12)), tmp_path) == list(range(12))


def test_no_draft_is_left_by_a_reject(draw_film: DrawFilm, drafts: Path, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    before = set(drafts.iterdir())
    [answer] = CutClip().annotate([row_of(film, 0, 20, end_frame=21)])
    assert isinstance(answer, Reject)
    assert set(drafts.iterdir()) == before


@pytest.mark.parametrize(
    ("said", "word"), [({"audio": "mp3"}, "opus"), ({"encoder": "x265"}, "nvenc"), ({"preset": "x"}, "slow")]
)
def test_an_unknown_word_is_refused_with_those_that_are_known(said: dict[str, str], word: str) -> None:
    with pytest.raises(ClipmillError, match=word):
        CutClip(**said)


def test_no_threads_are_refused() -> None:
    with pytest.raises(ClipmillError, match="threads is 0"):
        CutClip(threads=0)


def test_a_copy_of_another_length_than_was_scanned_is_refused(draw_film: DrawFilm, row_of: RowOf) -> None:
    film = draw_film("a.mp4", 40)
    whole, other = row_of(film, 0, 40), row_of(film, 0, 40, end_frame=41)
    first, second = CutClip(copy=True).annotate([whole, other])
    assert isinstance(first, CutOut)
    assert first.clip_way == "copied"
    assert isinstance(second, Reject)
    assert "40 frames in this span, where the scan saw 41" in str(second)


def test_a_machine_without_nvenc_says_so_before_the_first_clip() -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine may have NVENC")
    with pytest.raises(ClipmillError, match="encoder h264_nvenc does not open") as caught:
        CutClip(encoder="nvenc").open()
    assert "name another encoder" in caught.value.remedy
