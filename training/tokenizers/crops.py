"""Crops of stored frames: what a tokenizer sees at a step, a pure function of (seed, step)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from training.noise import uniform
from training.tensors import Video

SCALES = (1.0, 1.4, 2.0)  # source pixels per pixel of the crop
PACES = (1, 2, 3)  # source frames per frame of the crop


class Crops:
    """Random crops of the arrays in a folder, see `training.tokenizers.frames`.

    Args:
        folder: of .npy files, uint8 [t h w 3].
        size: height and width of a crop, in pixels.
        frames: of a crop.

    Raises:
        FileNotFoundError: the folder holds no array that is long and large enough.
    """

    def __init__(self, folder: Path, *, size: int, frames: int, seed: int = 0) -> None:
        self.size, self.frames, self.seed = size, frames, seed
        arrays = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
        self.arrays = [a for a in arrays if len(a) >= frames and min(a.shape[1:3]) >= size]
        if not self.arrays:
            raise FileNotFoundError(f"no .npy in {folder} has {frames} frames of {size} px")

    def batch(self, step: int, count: int) -> Video:
        """`count` crops, [count 3 t h w] in -1..1."""
        return torch.cat([self._crop(step, number) for number in range(count)])

    def _crop(self, step: int, number: int) -> Video:
        u = iter(uniform(self.seed, str(number), step, (8,), "crop").tolist())
        pick = _picker(u)
        array = self.arrays[pick(len(self.arrays))]
        t, h, w, _ = array.shape
        scale = _fitting(SCALES, min(h, w) / self.size, next(u))
        pace = int(_fitting(PACES, (t - 1) / (self.frames - 1) if self.frames > 1 else 1, next(u)))
        side, span = round(self.size * scale), (self.frames - 1) * pace + 1
        at, y, x = pick(t - span + 1), pick(h - side + 1), pick(w - side + 1)
        taken = np.array(array[at : at + span : pace, y : y + side, x : x + side])
        video = torch.from_numpy(taken).permute(0, 3, 1, 2).float() / 127.5 - 1  # [t 3 h w]
        if side != self.size:
            video = torch.nn.functional.interpolate(video, (self.size, self.size), mode="area")
        if next(u) < 0.5:
            video = video.flip(-1)
        if next(u) < 0.5:
            video = video.flip(0)
        return video.transpose(0, 1)[None]


def held_out(folder: Path, *, short_side: int, frames: int, pace: int) -> Iterator[tuple[str, Video]]:
    """Of each array its first frames, whole and scaled: (name, [1 3 t h w]), sides cut to multiples of 16."""
    for path in sorted(folder.glob("*.npy")):
        array = np.load(path, mmap_mode="r")[::pace]
        count = 1 + (min(frames, len(array)) - 1) // 4 * 4
        video = torch.from_numpy(np.array(array[:count])).permute(0, 3, 1, 2).float() / 127.5 - 1
        scale = min(1.0, short_side / min(video.shape[-2:]))
        if scale < 1:
            h, w = (round(side * scale) for side in video.shape[-2:])
            video = torch.nn.functional.interpolate(video, (h, w), mode="bilinear", antialias=True)
        h, w = (side // 16 * 16 for side in video.shape[-2:])
        yield path.name, video[:, :, :h, :w].transpose(0, 1)[None].contiguous()


def _picker(numbers: Iterator[float]) -> Callable[[int], int]:
    """Even choices of 0 … count - 1."""
    return lambda count: min(int(next(numbers) * count), count - 1)


def _fitting(choices: tuple[float, ...], most: float, number: float) -> float:
    """One of the choices that are not above `most`."""
    fits = [choice for choice in choices if choice <= most] or [1.0]
    return fits[min(int(number * len(fits)), len(fits) - 1)]
