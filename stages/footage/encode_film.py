"""Encodes a film as an MP4 file; the same frames give the same bytes."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.footage.shot import Frame

if TYPE_CHECKING:
    import av

# a b u c d v of the matrix in a track header that rotates the image clockwise (ISO/IEC 14496-12, 8.3.2)
ROTATIONS = {
    90: (0, 1, 0, -1, 0, 0),
    180: (-1, 0, 0, 0, -1, 0),
    270: (0, -1, 0, 1, 0, 0),
}
SAMPLE_RATE_HZ = 48_000


def encode_film(
    path: Path,
    frames: Iterable[Frame],
    ticks: Sequence[int],
    *,
    size: tuple[int, int],
    tick_s: Fraction,
    fps: Fraction,
    crf: int,
    rotation_deg: int = 0,
    audio: np.ndarray | None = None,
) -> None:
    """Encode frames with x264, and audio with AAC.

    A rotated film is stored unrotated with the rotation in its track header. x264 uses one thread, and no
    byte depends on the time or the number of cores.

    Args:
        path: path of the mp4 file.
        frames: planes of 4:2:0, uint8 [3h/2 w].
        ticks: time of each frame, in units of `tick_s`.
        size: width and height as displayed, in pixels.
        tick_s: unit of time, in seconds.
        fps: frames per second.
        crf: constant quality of x264.
        rotation_deg: clockwise rotation at display, a multiple of 90 degrees.
        audio: samples in -1..1 at `SAMPLE_RATE_HZ`, float32 [n].
    """
    import av

    width, height = size if rotation_deg in (0, 180) else size[::-1]
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "superfast", "threads": "1", "g": "48"}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = tick_s
        audio_stream = None
        if audio is not None:
            audio_stream = file.add_stream(
                "aac", rate=SAMPLE_RATE_HZ, layout="mono", options={"flags": "+bitexact"}
            )
            audio_stream.bit_rate = 64_000
        for tick, frame in zip(ticks, frames, strict=True):
            stored = _stored_orientation(frame, rotation_deg)
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="yuv420p")
            image.pts, image.time_base = tick, tick_s
            file.mux(stream.encode(image))
        file.mux(stream.encode(None))
        if audio is not None and audio_stream is not None:
            _encode_audio(file, audio_stream, audio)
    if rotation_deg:
        path.write_bytes(_with_rotation(path.read_bytes(), rotation_deg))


def _encode_audio(file: "av.container.OutputContainer", stream: "av.AudioStream", audio: np.ndarray) -> None:
    import av

    for start in range(0, len(audio), 1024):
        block = np.ascontiguousarray(audio[None, start : start + 1024], np.float32)
        samples = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        samples.sample_rate, samples.pts = SAMPLE_RATE_HZ, start
        samples.time_base = Fraction(1, SAMPLE_RATE_HZ)
        file.mux(stream.encode(samples))
    file.mux(stream.encode(None))


def _stored_orientation(frame: Frame, rotation_deg: int) -> Frame:
    """The frame as it is stored: each plane rotated counterclockwise."""
    if not rotation_deg:
        return frame
    turns, height, width = rotation_deg // 90, frame.shape[0] * 2 // 3, frame.shape[1]
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    luma = np.rot90(frame[:height], turns)
    turned = [np.rot90(plane, turns).reshape(-1) for plane in chroma]
    return np.concatenate([luma.reshape(-1), *turned]).reshape(-1, luma.shape[1])


def _with_rotation(data: bytes, rotation_deg: int) -> bytes:
    """The file with the rotation in its first track header: nine 16.16 numbers (the third of a row: 2.30)."""
    at = data.index(b"tkhd") + 4
    version = data[at]
    matrix = at + (52 if version == 1 else 40)
    a, b, u, c, d, v = ROTATIONS[rotation_deg]
    one = 1 << 16
    cells = struct.pack(">9i", a * one, b * one, u, c * one, d * one, v, 0, 0, 1 << 30)
    return data[:matrix] + cells + data[matrix + 36 :]


def ambient_audio(rng: np.random.Generator, duration_s: float) -> np.ndarray:
    """Wind and a slow melody: float32 [n] in -1..1 at `SAMPLE_RATE_HZ`."""
    count = round(duration_s * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    wind = np.convolve(rng.normal(0, 1, count + 63), np.ones(64) / 64, mode="valid")[:count]
    notes = np.array((220.0, 277.2, 329.6, 440.0))[rng.integers(0, 4, int(duration_s * 2) + 1)]
    melody = np.sin(2 * np.pi * np.cumsum(notes[(time_s * 2).astype(int)]) / SAMPLE_RATE_HZ)
    return (0.25 * wind + 0.2 * melody * (1 - (time_s * 2 % 1)) ** 2).astype(np.float32)
