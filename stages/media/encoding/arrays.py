"""Encodes RGB arrays as H.264 mp4; the bytes depend only on the arrays, the settings and the x264 build."""

import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.media.encoding.encoders import DETERMINISTIC_X264
from stages.media.encoding.mp4 import EncoderSettings, write_frames

if TYPE_CHECKING:
    import av


def write_mp4(
    target: str | Path | BytesIO,
    frames: Iterable[npt.NDArray[np.uint8]],
    fps: Fraction | int,
    *,
    crf: int = 20,
    lossless: bool = False,
    preset: str = "medium",
    keyint: int = 250,
    times: Iterable[int] | None = None,
    time_base: Fraction | None = None,
) -> int:
    """Write frames as H.264 yuv420p, or as RGB without loss, and return their number.

    x264 runs with one thread, because its output depends on the number of threads.

    Args:
        target: Path, or a buffer to write to.
        frames: uint8 RGB [h w 3], all of the size of the first frame. An odd side loses its last line.
        fps: Frame rate in frames per second. With `times` it is a hint for rate control.
        crf: Constant rate factor, 0 (no loss but that of yuv420p) to 51.
        lossless: Every value of a pixel is kept: H.264 High 4:4:4 Predictive in RGB, which FFmpeg decodes and
            most browsers do not. crf is not used.
        preset: Preset of x264, "ultrafast" to "veryslow".
        keyint: Maximum number of frames between key frames.
        times: The pts of each frame in `time_base`, strictly increasing, for a variable frame rate.
        time_base: Length of one tick of `times` in seconds.

    Raises:
        ValueError: There are no frames, or their sizes differ.
    """
    if isinstance(target, BytesIO):  # the muxer reads its own file to move the index
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            written = write_mp4(
                file.name,
                frames,
                fps,
                crf=crf,
                lossless=lossless,
                preset=preset,
                keyint=keyint,
                times=times,
                time_base=time_base,
            )
            target.write(Path(file.name).read_bytes())
        return written
    base = time_base if times is not None and time_base is not None else 1 / Fraction(fps)
    quality = {"qp": "0"} if lossless else {"crf": str(crf)}
    options = {**quality, "preset": preset, "g": str(keyint), "x264-params": DETERMINISTIC_X264}
    raw_frames = _to_frames(frames, iter(times if times is not None else count()))
    encoder = EncoderSettings("libx264rgb" if lossless else "libx264", options)
    pix_fmt = "rgb24" if lossless else "yuv420p"
    return write_frames(target, raw_frames, Fraction(fps), base, encoder, pix_fmt=pix_fmt)


def _to_frames(frames: Iterable[npt.NDArray[np.uint8]], ticks: Iterator[int]) -> Iterator["av.VideoFrame"]:
    import av

    size: tuple[int, ...] = ()
    for number, image in enumerate(frames):
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        size = size or even.shape[:2]
        if even.shape[:2] != size:
            raise ValueError(f"frame {number} is {even.shape[:2]}, not {size}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts = next(ticks)
        yield frame
