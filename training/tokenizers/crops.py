"""Random crops of stored frames, a pure function of (seed, step)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from training.noise import stream_position, uniform
from training.tensors import Video

SCALES = (1.0, 1.4, 2.0)  # source pixels per pixel of the crop
FRAME_STEPS = (1, 2, 3)  # source frames per frame of the crop


class CropBatch(NamedTuple):
    """Crops of one shape.

    Attributes:
        positions: Position of each crop in the stream of crops; all its random numbers depend on it.
        videos: The crops, [b 3 t h w].
    """

    positions: tuple[int, ...]
    videos: Video


class RandomCrops:
    """Random crops of the arrays in a folder, see `training.tokenizers.frames`.

    Args:
        folder: Contains .npy files, uint8 [t h w 3].
        size: Height and width of a crop, in px.
        frames: Frames of a crop.
        seed: Seed of the crops.

    Raises:
        FileNotFoundError: The folder contains no array that is long and large enough.
    """

    def __init__(self, folder: Path, *, size: int, frames: int, seed: int = 0) -> None:
        self.size, self.frames, self.seed = size, frames, seed
        loaded = ((path, np.load(path, mmap_mode="r")) for path in sorted(folder.glob("*.npy")))
        fitting = [(p, a) for p, a in loaded if len(a) >= frames and min(a.shape[1:3]) >= size]
        self.names = [path.name for path, _ in fitting]
        self.arrays = [array for _, array in fitting]
        if not self.arrays:
            raise FileNotFoundError(f"no .npy file in {folder} has {frames} frames of {size} px or more")

    def batch(self, step: int, count: int) -> Video:
        """`count` crops, [count 3 t h w] in -1..1."""
        return self.crops(step, range(count)).videos

    def crops(self, step: int, numbers: Sequence[int]) -> CropBatch:
        """Some of the crops of a step, by their numbers."""
        videos = torch.cat([self._crop(step, number) for number in numbers])
        return CropBatch(tuple(stream_position(step, number) for number in numbers), videos)

    def name(self, step: int, number: int) -> str:
        """The name of the file that a crop is from."""
        choose = _chooser(iter(self._random_numbers(step, number)))
        return self.names[choose(len(self.names))]

    def _random_numbers(self, step: int, number: int) -> list[float]:
        numbers: list[float] = uniform(self.seed, "crop", [stream_position(step, number)], (8,))[0].tolist()
        return numbers

    def _crop(self, step: int, number: int) -> Video:
        numbers = iter(self._random_numbers(step, number))
        choose = _chooser(numbers)
        array = self.arrays[choose(len(self.arrays))]
        t, h, w, _ = array.shape
        scale = _choose_up_to(SCALES, min(h, w) / self.size, next(numbers))
        max_frame_step = (t - 1) / (self.frames - 1) if self.frames > 1 else 1
        frame_step = int(_choose_up_to(FRAME_STEPS, max_frame_step, next(numbers)))
        side, span = round(self.size * scale), (self.frames - 1) * frame_step + 1
        first, y, x = choose(t - span + 1), choose(h - side + 1), choose(w - side + 1)
        pixels = np.array(array[first : first + span : frame_step, y : y + side, x : x + side])
        video = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1  # [t 3 h w]
        if side != self.size:
            video = torch.nn.functional.interpolate(video, (self.size, self.size), mode="area")
        if next(numbers) < 0.5:
            video = video.flip(-1)
        if next(numbers) < 0.5:
            video = video.flip(0)
        return video.transpose(0, 1)[None]


def _chooser(numbers: Iterator[float]) -> Callable[[int], int]:
    """A function that chooses uniformly from 0 … count - 1."""
    return lambda count: min(int(next(numbers) * count), count - 1)


def _choose_up_to(choices: tuple[float, ...], maximum: float, number: float) -> float:
    """One of the choices that are not above `maximum`; `number` in 0..1 decides which."""
    valid = [choice for choice in choices if choice <= maximum] or [1.0]
    return valid[min(int(number * len(valid)), len(valid) - 1)]
