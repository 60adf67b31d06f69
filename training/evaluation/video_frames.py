"""Finds the videos of a folder, and reads their frames one after the other, scaled and cropped."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data.video_file import open_video
from training.errors import SettingError, TrainingError
from training.tensors import Video

# Files that a folder of videos often has besides. All other files are read, whatever their name.
NO_MEDIA = {
    ".cfg", ".csv", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".npz", ".parquet", ".pdf",
    ".py", ".safetensors", ".sh", ".srt", ".toml", ".tsv", ".txt", ".vtt", ".xml", ".yaml", ".yml", ".zip",
}  # fmt: skip


class VideoError(TrainingError):
    """A video cannot be read, or does not fit."""


def find_videos(place: Path) -> dict[str, Path]:
    """The files of a folder and of the folders in it, by their path in it; or one file.

    Raises:
        SettingError: There are none.
    """
    if place.is_file():
        return {place.name: place}
    files = {
        file.relative_to(place).as_posix(): file
        for file in sorted(place.rglob("*"))
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() not in NO_MEDIA
    }
    if not files:
        raise SettingError(
            "there are no videos here" if place.is_dir() else "there is no such folder",
            where=str(place),
            remedy="name a folder of videos, images, or .npy arrays of frames, uint8 [t h w 3]",
        )
    return files


def read_frames(file: Path, short_side: int, size_multiple: tuple[int, int]) -> Iterator[Tensor]:
    """The frames of a video, an image or an array, [3 h w] in -1..1, each read when it is asked for.

    Args:
        file: A file that PyAV decodes, or .npy: uint8 [t h w 3] or [h w 3].
        short_side: Short side in px that larger frames are scaled to (bilinear, antialiased).
        size_multiple: Height and width are then cut to multiples of these, at the bottom and right.

    Raises:
        VideoError: The file cannot be read, has no frames, or frames smaller than `size_multiple`.
    """
    images = _array_images(file) if file.suffix.lower() == ".npy" else _video_images(file)
    size: tuple[int, int] | None = None
    for image in images:
        frame = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
        if size is None:
            scale = min(1.0, short_side / min(frame.shape[1:]))
            size = round(frame.shape[1] * scale), round(frame.shape[2] * scale)
            h, w = (side // multiple * multiple for side, multiple in zip(size, size_multiple, strict=True))
            if not h or not w:
                raise VideoError(f"frames of {size[1]} x {size[0]} px are smaller than one latent")
        if frame.shape[1:] != size:
            resized = torch.nn.functional.interpolate(frame[None], size, mode="bilinear", antialias=True)
            frame = resized[0].clamp(-1, 1)
        yield frame[:, :h, :w]
    if size is None:
        raise VideoError("it has no frames")


def split_frames(frames: Iterator[Tensor], stride: int, max_frames: int) -> Iterator[Video]:
    """Parts of a video as `Tokenizer.encode_stream` reads them: one frame, then `stride` frames each.

    Args:
        frames: The frames, [3 h w].
        stride: Frames per latent. Frames that do not fill a latent at the end are left out.
        max_frames: Maximum number of frames; 0 for all.

    Yields:
        [1 3 t h w].
    """
    frames = islice(frames, max_frames) if max_frames else frames
    size = 1
    while len(part := list(islice(frames, size))) == size:
        yield torch.stack(part, 1)[None]
        size = stride


def open_array(file: Path) -> npt.NDArray[np.uint8]:
    """An array of frames [t h w 3] or of one image [h w 3], not read into memory.

    Raises:
        VideoError: The file cannot be read, or is not such an array.
    """
    try:
        array = np.load(file, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise VideoError(f"it cannot be read: {error}") from error
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise VideoError(f"it is {array.dtype} {list(array.shape)}, and not uint8 [t h w 3] or [h w 3]")
    if not array.size:
        raise VideoError("it has no frames")
    frames: npt.NDArray[np.uint8] = array
    return frames


def _array_images(file: Path) -> Iterator[npt.NDArray[np.uint8]]:
    array = open_array(file)
    for image in array if array.ndim == 4 else array[None]:
        yield np.array(image)


def _video_images(file: Path) -> Iterator[npt.NDArray[np.uint8]]:
    try:
        import av
    except ImportError as error:
        raise SettingError("reading videos needs PyAV", remedy="pip install av") from error
    try:
        with open_video(file) as container:
            if not container.streams.video:
                raise VideoError("it has no video stream")
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"it cannot be decoded: {error}") from error
