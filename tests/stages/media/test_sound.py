"""Sound stays with its pictures: films with a flash and a click at the same instants, cut and measured."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decode import open_video
from stages.media.errors import Unreadable
from stages.media.mp4 import Coding, look, write_frames
from stages.media.planes import planar
from stages.media.remux import copy_span
from stages.media.sound import sound_of

FPS, EVERY, FIRST = 25, 20, 7  # a flash in each frame 7, 27, 47 …

Clap = Callable[..., Path]


@pytest.fixture
def clap(tmp_path: Path) -> Clap:
    """clap("a.mp4", codec="aac", hz=44100): a film of 4 s that flashes, and clicks while it does."""

    def make(name: str, codec: str = "aac", hz: int = 44100, format: str = "mp4") -> Path:
        frames, step = 100, hz // FPS
        heard = np.zeros((2, frames * step), np.float32)
        for number in range(FIRST, frames, EVERY):
            heard[:, number * step : (number + 1) * step] = 0.8 * np.sin(np.arange(step) * 2000 * np.pi / hz)
        with av.open(str(tmp_path / name), "w", format=format) as film:
            video = film.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "bf": "2"})
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            audio = film.add_stream(codec, rate=hz, layout="stereo")
            for number in range(frames):
                light = 250 if number % EVERY == FIRST else 10
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), light, np.uint8), format="rgb24")
                picture.pts = number
                film.mux(video.encode(picture))
            film.mux(video.encode(None))
            sound = av.AudioFrame.from_ndarray(heard, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts = hz, 0
            film.mux(audio.encode(sound))
            film.mux(audio.encode(None))
        return tmp_path / name

    return make


def _cut(film: Path, to: Path, first: int, end: int, how: str) -> Path:
    """The frames `first` to `end` - 1 with their sound."""
    with open_video(str(film)) as video:
        base, seen = video.time_base, list(video.frames())[first : end + 1]

        def pictures() -> object:
            for number, frame in enumerate(seen[:-1]):
                picture = planar(frame, 64, 64)
                picture.pts, picture.duration = number, 1
                yield picture

        with sound_of(str(film), seen[0].pts * base, seen[-1].pts * base, how, 128_000) as sound:
            write_frames(to, pictures(), Fraction(FPS), Fraction(1, FPS), Coding(), sound=sound)
    return to


def _flashes(film: Path) -> list[float]:
    with av.open(str(film)) as opened:
        return [
            float(f.pts * f.time_base)
            for f in opened.decode(video=0)
            if f.to_ndarray(format="gray").mean() > 128
        ]


def _clicks(film: Path) -> list[float]:
    """The times at which it begins to be loud."""
    found: list[float] = []
    last = -1.0
    with av.open(str(film)) as opened:
        hz = opened.streams.audio[0].rate
        for frame in opened.decode(audio=0):
            loud = np.abs(frame.to_ndarray()).max(axis=0) > 0.3
            for place in np.flatnonzero(loud):
                time_s = float(frame.pts * frame.time_base) + int(place) / hz
                if time_s - last > 0.2:
                    found.append(time_s)
                last = time_s
    return found


@pytest.mark.parametrize("how", ["aac", "opus", "copy"])
@pytest.mark.parametrize(
    ("name", "codec", "hz", "format"),
    [
        ("a.mp4", "aac", 44100, "mp4"),
        ("a.mp4", "aac", 8000, "mp4"),
        ("a.mkv", "libopus", 48000, "matroska"),
        ("a.mkv", "aac", 22050, "matroska"),
    ],
)
def test_flashes_and_clicks_stay_together(
    clap: Clap, tmp_path: Path, name: str, codec: str, hz: int, format: str, how: str
) -> None:
    film = clap(name, codec, hz, format)
    cut = _cut(film, tmp_path / "cut.mp4", 13, 83, how)
    flashes, clicks = _flashes(cut), _clicks(cut)
    assert flashes == pytest.approx([(n - 13) / FPS for n in (27, 47, 67)])
    assert clicks == pytest.approx(flashes, abs=0.002)
    assert look(cut).duration_s == Fraction(70, FPS)


@pytest.mark.parametrize("how", ["aac", "copy"])
def test_sound_stays_with_pictures_that_are_copied(clap: Clap, tmp_path: Path, how: str) -> None:
    film, to = clap("a.mp4"), tmp_path / "cut.mp4"
    with open_video(str(film)) as video:
        base, pts = video.time_base, [frame.pts for frame in video.frames()]
    with sound_of(str(film), pts[0] * base, pts[70] * base, how, 128_000) as sound:
        assert copy_span(str(film), to, pts[0], pts[70], sound)
    assert _flashes(to) == pytest.approx([n / FPS for n in (7, 27, 47, 67)])
    assert _clicks(to) == pytest.approx(_flashes(to), abs=0.002)


def test_the_same_span_gives_the_same_bytes(clap: Clap, tmp_path: Path) -> None:
    film = clap("a.mp4")
    for how in ("aac", "opus", "copy"):
        one, two = (_cut(film, tmp_path / f"{k}.mp4", 5, 60, how).read_bytes() for k in range(2))
        assert one == two


def test_no_stream_of_sound_is_no_sound(clap: Clap, tmp_path: Path) -> None:
    silent = _cut(clap("a.mp4"), tmp_path / "b.mp4", 0, 50, "aac")
    with open_video(str(silent)) as video:
        write_frames(tmp_path / "c.mp4", _numbered(video), Fraction(25), Fraction(1, 25), Coding())
    with sound_of(str(tmp_path / "c.mp4"), Fraction(0), Fraction(1), "aac", 64_000) as sound:
        assert sound is None


def _numbered(video: object) -> object:
    for number, frame in enumerate(video.frames()):  # type: ignore[attr-defined]
        frame.raw.pts, frame.raw.duration = number, 1
        yield frame.raw


def test_what_an_mp4_cannot_hold_is_refused_with_the_way_out(clap: Clap, tmp_path: Path) -> None:
    film = clap("a.mkv", "pcm_s16le", 48000, "matroska")
    with pytest.raises(Unreadable, match=r"pcm_s16le.*encode it: aac or opus"):
        _cut(film, tmp_path / "b.mp4", 0, 50, "copy")
    assert _clicks(_cut(film, tmp_path / "c.mp4", 0, 50, "opus"))


def test_sound_that_is_damaged_is_refused_inside_the_span_only(clap: Clap, tmp_path: Path) -> None:
    film = clap("a.mkv", "aac", 44100, "matroska")
    with av.open(str(film)) as opened:
        packets = [(p.pos, p.size, float(p.pts * p.time_base)) for p in opened.demux(audio=0) if p.size]
    data = bytearray(film.read_bytes())
    for pos, size, time_s in packets:
        if 2.5 < time_s < 2.6:
            data[pos + 8 : pos + size] = np.random.default_rng(1).bytes(size - 8)
    film.write_bytes(data)
    assert _clicks(_cut(film, tmp_path / "b.mp4", 0, 50, "aac")) == pytest.approx(
        [0.28, 1.08, 1.88], abs=0.003
    )
    with pytest.raises(Unreadable, match="its sound cannot be decoded"):
        _cut(film, tmp_path / "c.mp4", 50, 80, "aac")
