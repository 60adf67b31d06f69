"""Encoding: frames to an H.264 mp4 whose bytes depend on frames, settings and the build of x264 only."""

import tempfile
from collections.abc import Iterable
from fractions import Fraction
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np

# bitexact keeps the muxer's version out of the file; faststart puts the index before the pixels.
_CONTAINER = {"fflags": "+bitexact", "movflags": "+faststart"}

# x264's macroblock tree reads memory that it has not written, for some widths (360 px is one): such clips had
# other bytes from run to run.
_REPEATABLE = "mbtree=0"


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

    x264 runs with one thread: with more, its bytes differ from run to run.

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
    import av

    if isinstance(target, BytesIO):  # the muxer reads its own file again to move the index
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            how = {"crf": crf, "preset": preset, "keyint": keyint}
            written = write_mp4(file.name, frames, fps, **how, times=times, time_base=time_base)  # type: ignore[arg-type]
            target.write(Path(file.name).read_bytes())
        return written
    base = time_base if times is not None and time_base is not None else 1 / Fraction(fps)
    ticks, written = iter(times if times is not None else count()), 0
    with av.open(f"file:{target}", "w", format="mp4", options=_CONTAINER) as container:
        stream = cast(av.VideoStream, container.add_stream("libx264", rate=Fraction(fps)))
        stream.pix_fmt, stream.time_base = "yuv420p", base
        stream.codec_context.time_base = base
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": preset, "g": str(keyint), "x264-params": _REPEATABLE}
        for picture in frames:
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            if not written:
                stream.height, stream.width = even.shape[:2]
            if even.shape[:2] != (stream.height, stream.width):
                raise ValueError(f"frame {written} is {even.shape[:2]}, not {stream.height, stream.width}")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame.pts, frame.time_base = next(ticks), base
            container.mux(stream.encode(frame))
            written += 1
        if not written:
            raise ValueError("there are no frames to write")
        container.mux(stream.encode(None))
    return written
