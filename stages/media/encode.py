"""Encoding: arrays of RGB to an H.264 mp4, whose bytes depend on them, the settings and x264's build only."""

import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.media.encoders import REPEATABLE
from stages.media.mp4 import Coding, write_frames

if TYPE_CHECKING:
    import av


def write_mp4(
    target: str | Path | BytesIO,
    frames: Iterable[np.ndarray],
    fps: Fraction | int,
    *,
    crf: int = 20,
    preset: str = "medium",
    keyint: int = 250,
    times: Iterable[int] | None = None,
    time_base: Fraction | None = None,
) -> int:
    """Write frames as H.264 yuv420p and return how many there were.

    x264 runs with one thread: with more, its bytes are others.

    Args:
        frames: uint8 RGB [h w 3], all of the first one's size; an odd side loses its last line.
        fps: the constant rate; beside `times`, a hint for rate control.
        crf: constant quality, 0 (lossless) to 51.
        preset: of x264, "ultrafast" to "veryslow".
        keyint: frames between key frames at most.
        times: the pts of each frame in `time_base`, strictly increasing, for a variable rate.

    Raises:
        ValueError: there are no frames, or their sizes differ.
    """
    if isinstance(target, BytesIO):  # the muxer reads its own file again to move the index
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            how = {"crf": crf, "preset": preset, "keyint": keyint}
            written = write_mp4(file.name, frames, fps, **how, times=times, time_base=time_base)  # type: ignore[arg-type]
            target.write(Path(file.name).read_bytes())
        return written
    base = time_base if times is not None and time_base is not None else 1 / Fraction(fps)
    options = {"crf": str(crf), "preset": preset, "g": str(keyint), "x264-params": REPEATABLE}
    pictures = _pictures(frames, iter(times if times is not None else count()))
    return write_frames(target, pictures, Fraction(fps), base, Coding(options=options), pix_fmt="yuv420p")


def _pictures(frames: Iterable[np.ndarray], ticks: Iterator[int]) -> Iterator["av.VideoFrame"]:
    import av

    size: tuple[int, ...] = ()
    for number, picture in enumerate(frames):
        even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        size = size or even.shape[:2]
        if even.shape[:2] != size:
            raise ValueError(f"frame {number} is {even.shape[:2]}, not {size}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts = next(ticks)
        yield frame
