"""Writing a film to an MP4 file: the same frames give the same bytes."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stages.footage.shot import Frame

# a b u c d v of a track header's matrix, to show a picture turned clockwise (ISO/IEC 14496-12, 8.3.2)
TURNS = {
    90: (0, 1, 0, -1, 0, 0),
    180: (-1, 0, 0, 0, -1, 0),
    270: (0, -1, 0, 1, 0, 0),
}
RATE = 48_000


def record(
    path: Path,
    frames: Iterable[Frame],
    ticks: Sequence[int],
    *,
    size: tuple[int, int],
    tick_s: Fraction,
    fps: Fraction,
    crf: int,
    rotation_deg: int = 0,
    sound: np.ndarray | None = None,
) -> None:
    """Encode frames shown at `ticks` (units of `tick_s`) with x264, and `sound` [samples] in -1..1 with AAC.

    A film to be shown turned is stored turned back, with the turn in its track header. x264 runs on one
    thread, and nothing written depends on the clock or the number of cores.
    """
    import av

    width, height = size if rotation_deg in (0, 180) else size[::-1]
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "superfast", "threads": "1", "g": "48"}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = tick_s
        voice = None
        if sound is not None:
            voice = file.add_stream("aac", rate=RATE, layout="mono", options={"flags": "+bitexact"})
            voice.bit_rate = 64_000
        for tick, frame in zip(ticks, frames, strict=True):
            turned = _turned(frame, rotation_deg)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="yuv420p")
            picture.pts, picture.time_base = tick, tick_s
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
        if sound is not None and voice is not None:
            for start in range(0, len(sound), 1024):
                heard = np.ascontiguousarray(sound[None, start : start + 1024], np.float32)
                samples = av.AudioFrame.from_ndarray(heard, format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = RATE, start, Fraction(1, RATE)
                file.mux(voice.encode(samples))
            file.mux(voice.encode(None))
    if rotation_deg:
        path.write_bytes(_with_turn(path.read_bytes(), rotation_deg))


def _turned(frame: Frame, rotation_deg: int) -> Frame:
    """The frame as stored: turned counter-clockwise, plane by plane."""
    if not rotation_deg:
        return frame
    turns, height, width = rotation_deg // 90, frame.shape[0] * 2 // 3, frame.shape[1]
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    luma = np.rot90(frame[:height], turns)
    turned = [np.rot90(plane, turns).reshape(-1) for plane in chroma]
    return np.concatenate([luma.reshape(-1), *turned]).reshape(-1, luma.shape[1])


def _with_turn(data: bytes, rotation_deg: int) -> bytes:
    """The file with the turn in its first track header: nine numbers of 16.16 (the third of a row 2.30)."""
    at = data.index(b"tkhd") + 4
    version = data[at]
    matrix = at + (52 if version == 1 else 40)
    a, b, u, c, d, v = TURNS[rotation_deg]
    one = 1 << 16
    cells = struct.pack(">9i", a * one, b * one, u, c * one, d * one, v, 0, 0, 1 << 30)
    return data[:matrix] + cells + data[matrix + 36 :]


def murmur(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Wind and a slow tune, [samples] at `RATE` per second in -1..1."""
    count = round(seconds * RATE)
    time_s = np.arange(count) / RATE
    wind = np.convolve(rng.normal(0, 1, count + 63), np.ones(64) / 64, mode="valid")[:count]
    notes = np.array((220.0, 277.2, 329.6, 440.0))[rng.integers(0, 4, int(seconds * 2) + 1)]
    tune = np.sin(2 * np.pi * np.cumsum(notes[(time_s * 2).astype(int)]) / RATE)
    return (0.25 * wind + 0.2 * tune * (1 - (time_s * 2 % 1)) ** 2).astype(np.float32)
