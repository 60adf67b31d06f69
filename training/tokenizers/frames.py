"""Frames to train a tokenizer on: videos decoded once into arrays that any number of runs may map.

    python -m training.tokenizers.frames OUT VIDEO… [--short-side 256] [--frames 160] [--spans 2]

Each span of a video becomes one file NAME.K.npy, uint8 [t h w 3]: whole frames, scaled so that the short side
is as asked (never enlarged), in `spans` runs of consecutive frames spread evenly over the video.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def write_frames(video: Path, out: Path, *, short_side: int, frames: int, spans: int) -> list[Path]:
    """The files written for one video; at most `frames` frames in all.

    Raises:
        av.FFmpegError: the video cannot be decoded.
    """
    total = sum(1 for _ in _decoded(video, 16))
    each = min(frames // spans, total // spans)
    starts = [round(k * (total - each) / max(1, spans - 1)) for k in range(spans)]
    held: list[list[np.ndarray]] = [[] for _ in starts]
    for number, picture in enumerate(_decoded(video, short_side)):
        for start, pictures in zip(starts, held, strict=True):
            if start <= number < start + each:
                pictures.append(picture)
    written = []
    for k, pictures in enumerate(held):
        path = out / f"{video.name}.{k}.npy"
        np.save(path, np.stack(pictures))
        written.append(path)
    return written


def _decoded(video: Path, short_side: int) -> Iterator[np.ndarray]:
    """Each frame in order, uint8 [h w 3]."""
    import av

    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            scale = min(1.0, short_side / min(frame.width, frame.height))
            size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
            yield frame.to_ndarray(format="rgb24", interpolation="AREA", **size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--short-side", type=int, default=256, help="pixels (%(default)s)")
    parser.add_argument("--frames", type=int, default=160, help="per video at most (%(default)s)")
    parser.add_argument("--spans", type=int, default=2, help="runs of frames per video (%(default)s)")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for video in asked.videos:
        for path in write_frames(
            video, asked.out, short_side=asked.short_side, frames=asked.frames, spans=asked.spans
        ):
            print(path, flush=True)


if __name__ == "__main__":
    main()
