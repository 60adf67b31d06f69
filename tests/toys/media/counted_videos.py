"""Small videos whose frames show their number as black and white columns, in any container, at any times."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from stages.media.decoding.video import frames

BITS, HEIGHT, WIDTH = 12, 64, 96
OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "28", "x264-params": "scenecut=0:threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "40"},
}


def draw_count(number: int) -> np.ndarray:
    """A frame with its number above, and noise below that depends on it: uint8 [h w 3]."""
    image = np.random.default_rng(number).integers(60, 180, (HEIGHT, WIDTH, 3), np.uint8)
    side = WIDTH // BITS
    for bit in range(BITS):
        image[: HEIGHT // 2, bit * side : (bit + 1) * side] = 235 if number >> bit & 1 else 16
    return image


def read_counts(film: Path | str) -> list[int]:
    """The numbers of the frames of a film."""
    middles = [int((bit + 0.5) * WIDTH / BITS) for bit in range(BITS)]
    return [
        sum(int(image[HEIGHT // 4, x].mean() > 125) << bit for bit, x in enumerate(middles))
        for image in (frame.pixels() for frame in frames(str(film)))
    ]


def encode_counts(
    numbers: Sequence[int],
    container: str = "mpegts",
    codec: str = "mpeg2video",
    *,
    start_s: float = 0,
    times: Sequence[int] | None = None,
    muxer: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """A video of these frames at 25 per second from `start_s` on, or at `times` in units of 1/25 s.

    Args:
        muxer: Options of the container.
        options: Options of the encoder; `g` is 10 frames by default.
    """
    file = io.BytesIO()
    output: Any = av.open(
        file, "w", format=container, options={"avoid_negative_ts": "disabled", **(muxer or {})}
    )
    with output:
        stream = output.add_stream(
            codec, rate=25, options={"g": "10", "b": "600k", **OPTIONS.get(codec, {}), **options}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(draw_count(number), format="rgb24")
            frame.pts = round(25 * start_s) + index if times is None else times[index]
            frame.time_base = Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def cut_out(data: bytes, share: float, count: int, unit: int = 1) -> bytes:
    """The data without `count` bytes at a place, at multiples of `unit`."""
    at = int(len(data) * share) // unit * unit
    return data[:at] + data[at + count // unit * unit :]


def blank(data: bytes, share: float, count: int) -> bytes:
    """The data with `count` zeros at a place."""
    at = int(len(data) * share)
    return data[:at] + bytes(count) + data[at + count :]
