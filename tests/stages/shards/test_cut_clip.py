"""A cut clip begins and ends with the very frames of its span, and a changed source is told from a kept one.

The films carry in each frame its number, as black and white blocks: a decoded frame tells which it is.
"""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import Reject
from stages.media.decode import frames, open_video
from stages.media.encode import write_mp4
from stages.shards.cut_clip import CutClip, CutOut, KeptClip

DrawFilm = Callable[..., Path]


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


def _row(film: Path, first: int, end: int, **said: Any) -> KeptClip:
    """The frames `first` to `end` - 1 of a film, as a scan would have found them."""
    with open_video(str(film)) as video:
        seen = list(video.frames())
    pts = [frame.pts for frame in seen] + [seen[-1].pts + seen[-1].duration]
    given = {
        "uri": str(film),
        "size_bytes": film.stat().st_size,
        "variable_rate": False,
        "start_pts": pts[first],
        "end_pts": pts[end],
        "start_frame": first,
        "end_frame": end,
    }
    return KeptClip(**(given | said))


def _cut(stage: CutClip, row: KeptClip) -> CutOut:
    [answer] = stage.annotate([row])
    assert isinstance(answer, CutOut), answer
    return answer


def _numbers(out: CutOut, folder: Path) -> list[int]:
    film = folder / "cut.mp4"
    film.write_bytes(out.clip.read())
    return _numbers_in(film)


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 60])
def test_every_frame_of_the_span_once(draw_film: DrawFilm, tmp_path: Path, fps: Fraction) -> None:
    row = _row(draw_film("a.mp4", 60, fps=fps), 17, 43)
    out = _cut(CutClip(), row)
    assert _numbers(out, tmp_path) == list(range(17, 43))
    assert (out.clip_frames, out.clip_fps) == (26, float(fps))
    assert out.clip_duration_s == pytest.approx(26 / float(fps))


def test_a_clip_to_the_very_end(draw_film: DrawFilm, tmp_path: Path) -> None:
    assert _numbers(_cut(CutClip(), _row(draw_film("a.mp4", 30), 29, 30)), tmp_path) == [29]


def test_same_clip_same_bytes_in_any_company(draw_film: DrawFilm) -> None:
    film = draw_film("a.mp4", 40)
    rows = [_row(film, 3, 20), _row(film, 20, 40)]
    first, second = CutClip().annotate(rows)
    again = list(CutClip().annotate(rows[::-1]))[::-1]
    assert [first, second] == again
    assert isinstance(first, CutOut)
    assert first.clip.read() == _cut(CutClip(), rows[0]).clip.read()


def test_half_the_rate_takes_every_other_frame(draw_film: DrawFilm, tmp_path: Path) -> None:
    out = _cut(CutClip(fps=12.5), _row(draw_film("a.mp4", 60), 10, 50))
    assert _numbers(out, tmp_path) == list(range(10, 50, 2))
    assert out.clip_duration_s == pytest.approx(40 / 25)


def test_twice_the_rate_shows_frames_twice(draw_film: DrawFilm, tmp_path: Path) -> None:
    numbers = _numbers(_cut(CutClip(fps=50), _row(draw_film("a.mp4", 30), 5, 15)), tmp_path)
    assert len(numbers) == 20
    assert sorted(set(numbers)) == list(range(5, 15))
    assert numbers == sorted(numbers)


def test_a_varying_rate_becomes_constant(draw_film: DrawFilm, tmp_path: Path) -> None:
    times = [0, 40, 80, 120, 320, 520, 560, 600, 640]  # milliseconds; two frames stand for 0.2 s
    film = draw_film("a.mp4", 9, times=times, time_base=Fraction(1, 1000))
    out = _cut(CutClip(fps=25), _row(film, 0, 9, variable_rate=True))
    assert _numbers(out, tmp_path) == [0, 1, 2, *[3] * 3, *[4] * 5, *[5] * 3, 6, 7, 8]


def test_size_shrinks_to_even_sides_and_never_grows(draw_film: DrawFilm) -> None:
    film = draw_film("a.mp4", 10, size=(202, 114))
    small = _cut(CutClip(short_side_px=60), _row(film, 0, 10))
    assert (small.clip_width_px, small.clip_height_px) == (106, 60)
    kept = _cut(CutClip(short_side_px=720), _row(film, 0, 10))
    assert (kept.clip_width_px, kept.clip_height_px) == (202, 114)


def test_a_source_that_vanished_changed_or_lost_frames(draw_film: DrawFilm) -> None:
    film = draw_film("a.mp4", 40)
    good = _row(film, 0, 20)
    rows = [
        _row(film, 0, 20, uri=f"{film}.gone"),
        _row(film, 0, 20, size_bytes=good.size_bytes + 1),
        _row(film, 0, 20, end_frame=21),
        _row(film, 0, 20, start_pts=10**9, end_pts=10**9 + 10),
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


REAL = [
    "natural/imageio__cockatoo.mp4",  # decodes whole only from its beginning
    "natural/psd__issue-134-rotate.mp4",
    "natural/psd__issue-195-aspect-ratio.mp4",
    "natural/simpl__smaller.webm",
    "odd/decord__video_90.mov",
    "odd/mmaction2__test.avi",
    "odd/torchcodec__av1_video.mkv",
    "odd/torchcodec__h265_10bits.mp4",
]


@pytest.mark.parametrize("name", REAL)
def test_real_films_begin_and_end_with_the_frames_of_the_source(tmp_path: Path, name: str) -> None:
    root = Path(os.environ.get("CLIPMILL_FOOTAGE", Path(__file__).parents[4] / "shared" / "footage"))
    if not (root / name).is_file():
        pytest.skip(f"no real footage at {root}; set CLIPMILL_FOOTAGE")
    with open_video(str(root / name)) as video:
        seen, pictures = [], []
        for frame in islice(video.frames(), 105):
            seen.append(frame.pts)
            pictures.append(frame.pixels("rgb24", *video.shown_size(frame.turns)))
    end = len(seen) - 1
    first = max(0, end - 8)
    row = KeptClip(
        uri=str(root / name),
        size_bytes=(root / name).stat().st_size,
        variable_rate=False,
        start_pts=seen[first],
        end_pts=seen[end],
        start_frame=first,
        end_frame=end,
    )
    out = _cut(CutClip(), row)
    film = tmp_path / "cut.mp4"
    film.write_bytes(out.clip.read())
    shown = [frame.pixels().astype(int) for frame in frames(str(film))]
    assert len(shown) == end - first
    for mine, theirs in ((shown[0], pictures[first]), (shown[-1], pictures[end - 1])):
        theirs = theirs[: out.clip_height_px, : out.clip_width_px]
        assert mine.shape == theirs.shape
        assert 10 * np.log10(255**2 / ((mine - theirs) ** 2).mean()) > 30  # dB
