"""Tests of audio sync: videos with a flash and a click at the same times are cut and measured."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import open_video
from stages.media.encoding.audio import open_audio
from stages.media.encoding.mp4 import EncoderSettings, read_mp4_info, write_frames
from stages.media.encoding.remux import copy_span
from stages.media.errors import UnreadableFile

FPS, PERIOD, FIRST = 25, 20, 7  # a flash in each frame 7, 27, 47 …

Clap = Callable[..., Path]


@pytest.fixture
def clap(tmp_path: Path) -> Clap:
    """clap("a.mp4", codec="aac", hz=44100) writes a video of 4 s with simultaneous flashes and clicks."""

    def make(name: str, codec: str = "aac", hz: int = 44100, format: str = "mp4") -> Path:
        frames, step = 100, hz // FPS
        samples = np.zeros((2, frames * step), np.float32)
        for number in range(FIRST, frames, PERIOD):
            samples[:, number * step : (number + 1) * step] = 0.8 * np.sin(
                np.arange(step) * 2000 * np.pi / hz
            )
        with av.open(str(tmp_path / name), "w", format=format) as film:
            video = film.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "bf": "2"})
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            audio = film.add_stream(codec, rate=hz, layout="stereo")
            for number in range(frames):
                light = 250 if number % PERIOD == FIRST else 10
                raw = av.VideoFrame.from_ndarray(np.full((64, 64, 3), light, np.uint8), format="rgb24")
                raw.pts = number
                film.mux(video.encode(raw))
            film.mux(video.encode(None))
            audio_frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            audio_frame.sample_rate, audio_frame.pts = hz, 0
            film.mux(audio.encode(audio_frame))
            film.mux(audio.encode(None))
        return tmp_path / name

    return make


def _cut(film: Path, to: Path, first: int, end: int, codec_name: str) -> Path:
    """Write the frames `first` to `end` - 1 with their audio."""
    with open_video(str(film)) as video:
        base, seen = video.time_base, list(video.frames())[first : end + 1]

        def converted() -> object:
            for number, frame in enumerate(seen[:-1]):
                raw = to_yuv420p(frame, 64, 64)
                raw.pts, raw.duration = number, 1
                yield raw

        with open_audio(str(film), seen[0].pts * base, seen[-1].pts * base, codec_name, 128_000) as audio:
            write_frames(to, converted(), Fraction(FPS), Fraction(1, FPS), EncoderSettings(), audio=audio)
    return to


def _flashes(film: Path) -> list[float]:
    with av.open(str(film)) as opened:
        return [
            float(f.pts * f.time_base)
            for f in opened.decode(video=0)
            if f.to_ndarray(format="gray").mean() > 128
        ]


def _clicks(film: Path) -> list[float]:
    """Return the start times of loud audio in seconds."""
    found: list[float] = []
    last = -1.0
    with av.open(str(film)) as opened:
        hz = opened.streams.audio[0].rate
        for frame in opened.decode(audio=0):
            loud = np.abs(frame.to_ndarray()).max(axis=0) > 0.3
            for index in np.flatnonzero(loud):
                time_s = float(frame.pts * frame.time_base) + int(index) / hz
                if time_s - last > 0.2:
                    found.append(time_s)
                last = time_s
    return found


@pytest.mark.parametrize("codec_name", ["aac", "opus", "copy"])
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
    clap: Clap, tmp_path: Path, name: str, codec: str, hz: int, format: str, codec_name: str
) -> None:
    film = clap(name, codec, hz, format)
    cut = _cut(film, tmp_path / "cut.mp4", 13, 83, codec_name)
    flashes, clicks = _flashes(cut), _clicks(cut)
    assert flashes == pytest.approx([(n - 13) / FPS for n in (27, 47, 67)])
    assert clicks == pytest.approx(flashes, abs=0.002)
    assert read_mp4_info(cut).duration_s == Fraction(70, FPS)


@pytest.mark.parametrize("codec_name", ["aac", "copy"])
def test_audio_stays_in_sync_with_copied_packets(clap: Clap, tmp_path: Path, codec_name: str) -> None:
    film, to = clap("a.mp4"), tmp_path / "cut.mp4"
    with open_video(str(film)) as video:
        base, pts = video.time_base, [frame.pts for frame in video.frames()]
    with open_audio(str(film), pts[0] * base, pts[70] * base, codec_name, 128_000) as audio:
        assert copy_span(str(film), to, pts[0], pts[70], audio)
    assert _flashes(to) == pytest.approx([n / FPS for n in (7, 27, 47, 67)])
    assert _clicks(to) == pytest.approx(_flashes(to), abs=0.002)


def test_the_same_span_gives_the_same_bytes(clap: Clap, tmp_path: Path) -> None:
    film = clap("a.mp4")
    for codec_name in ("aac", "opus", "copy"):
        one, two = (_cut(film, tmp_path / f"{k}.mp4", 5, 60, codec_name).read_bytes() for k in range(2))
        assert one == two


def test_a_file_without_audio_stream_has_no_audio(clap: Clap, tmp_path: Path) -> None:
    silent = _cut(clap("a.mp4"), tmp_path / "b.mp4", 0, 50, "aac")
    with open_video(str(silent)) as video:
        write_frames(tmp_path / "c.mp4", _numbered(video), Fraction(25), Fraction(1, 25), EncoderSettings())
    with open_audio(str(tmp_path / "c.mp4"), Fraction(0), Fraction(1), "aac", 64_000) as audio:
        assert audio is None


def _numbered(video: object) -> object:
    for number, frame in enumerate(video.frames()):  # type: ignore[attr-defined]
        frame.raw.pts, frame.raw.duration = number, 1
        yield frame.raw


def test_a_codec_that_mp4_does_not_support_is_an_error_with_a_remedy(clap: Clap, tmp_path: Path) -> None:
    film = clap("a.mkv", "pcm_s16le", 48000, "matroska")
    with pytest.raises(UnreadableFile, match=r"pcm_s16le.*encode the audio as aac or opus"):
        _cut(film, tmp_path / "b.mp4", 0, 50, "copy")
    assert _clicks(_cut(film, tmp_path / "c.mp4", 0, 50, "opus"))


def test_damaged_audio_is_an_error_inside_the_span_only(clap: Clap, tmp_path: Path) -> None:
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
    with pytest.raises(UnreadableFile, match="its audio cannot be decoded"):
        _cut(film, tmp_path / "c.mp4", 50, 80, "aac")
