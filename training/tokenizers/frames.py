"""Decodes videos once into arrays of frames, on which tokenizers are trained.

Each span of a video becomes one file NAME.K.npy, uint8 [t h w 3]: whole frames, scaled down to the short side
(never up), in `spans` runs of consecutive frames spread evenly over the video.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.video_file import open_video


def write_frames(
    video: Path, out: Path, *, short_side: int, frames: int, spans: int, name: str = ""
) -> list[Path]:
    """Decode one video or image and write one file per span.

    Args:
        video: The file.
        out: Folder to write to.
        short_side: Short side in px that larger frames are scaled to.
        frames: Maximum number of frames of all spans together.
        spans: Number of spans.
        name: Start of the names of the files; by default that of the video.

    Returns:
        The files.

    Raises:
        av.FFmpegError: The video cannot be decoded.
        ValueError: It has no frames.
    """
    total = sum(1 for _ in _decode(video, 16))
    if not total:
        raise ValueError("it has no frames")
    spans = min(spans, total, frames)
    length = min(frames // spans, total // spans)
    starts = [round(k * (total - length) / max(1, spans - 1)) for k in range(spans)]
    images: list[list[npt.NDArray[np.uint8]]] = [[] for _ in starts]
    for number, image in enumerate(_decode(video, short_side)):
        for start, span in zip(starts, images, strict=True):
            if start <= number < start + length:
                span.append(image)
    written = []
    for k, span in enumerate(images):
        path = out / f"{name or video.name}.{k}.npy"
        np.save(path, np.stack(span))
        written.append(path)
    return written


def _decode(video: Path, short_side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Each frame in order, uint8 [h w 3]."""
    with open_video(video) as container:
        if not container.streams.video:
            return
        for frame in container.decode(video=0):
            scale = min(1.0, short_side / min(frame.width, frame.height))
            image = frame.to_ndarray(
                format="rgb24",
                interpolation="AREA",
                width=round(frame.width * scale),
                height=round(frame.height * scale),
            )
            yield image.astype(np.uint8, copy=False)
