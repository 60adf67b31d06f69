"""Decodes videos once into arrays of frames, on which tokenizers are trained.

    python -m training.tokenizers.frames OUT VIDEO… [--short-side 256] [--frames 160] [--spans 2]

Each span of a video becomes one file NAME.K.npy, uint8 [t h w 3]: whole frames, scaled down to the short side
(never up), in `spans` runs of consecutive frames spread evenly over the video.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt


def write_frames(video: Path, out: Path, *, short_side: int, frames: int, spans: int) -> list[Path]:
    """Decode one video and write one file per span.

    Args:
        short_side: Short side in px that larger frames are scaled to.
        frames: Maximum number of frames of all spans together.
        spans: Number of spans.

    Returns:
        The files.

    Raises:
        av.FFmpegError: The video cannot be decoded.
    """
    total = sum(1 for _ in _decode(video, 16))
    length = min(frames // spans, total // spans)
    starts = [round(k * (total - length) / max(1, spans - 1)) for k in range(spans)]
    images: list[list[npt.NDArray[np.uint8]]] = [[] for _ in starts]
    for number, image in enumerate(_decode(video, short_side)):
        for start, span in zip(starts, images, strict=True):
            if start <= number < start + length:
                span.append(image)
    written = []
    for k, span in enumerate(images):
        path = out / f"{video.name}.{k}.npy"
        np.save(path, np.stack(span))
        written.append(path)
    return written


def _decode(video: Path, short_side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Each frame in order, uint8 [h w 3]."""
    import av

    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            scale = min(1.0, short_side / min(frame.width, frame.height))
            image = frame.to_ndarray(
                format="rgb24",
                interpolation="AREA",
                width=round(frame.width * scale),
                height=round(frame.height * scale),
            )
            yield image.astype(np.uint8, copy=False)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("videos", type=Path, nargs="+", help="video files")
    parser.add_argument("--short-side", type=int, default=256, help="short side in px (%(default)s)")
    parser.add_argument("--frames", type=int, default=160, help="maximum frames per video (%(default)s)")
    parser.add_argument("--spans", type=int, default=2, help="runs of frames per video (%(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for video in args.videos:
        for path in write_frames(
            video, args.out, short_side=args.short_side, frames=args.frames, spans=args.spans
        ):
            print(path, flush=True)


if __name__ == "__main__":
    main()
