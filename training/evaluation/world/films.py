"""Reads the films of an evaluation, and pairs generated ones with their reference by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.data.video_file import open_video
from training.errors import SettingError
from training.evaluation.video_frames import VideoError, find_videos
from training.metrics.world.matches import Frames

_SEED = re.compile(r"__\d+$")
MAX_ASPECT_DIFFERENCE = 0.02  # of width / height, relative; with more, films are not compared
MAX_RATE_DIFFERENCE = 0.01  # of the frames per second, relative


@dataclass(frozen=True)
class Footage:
    """The frames of a film, and what has been computed from them.

    Attributes:
        frames: RGB, uint8 [t h w 3].
        memo: Results that several rows of a table share, such as matches.
    """

    frames: Frames
    memo: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A reference film and the films that were generated for it.

    Attributes:
        name: Path of the reference in its folder, without the ending.
        reference: Its file.
        generated: Files by seed: NAME.mp4, or NAME__0.mp4, NAME__1.mp4, …
    """

    name: str
    reference: Path
    generated: tuple[Path, ...]


def find_films(folder: Path) -> dict[str, Path]:
    """The films of a folder and of the folders in it, by path without the ending.

    Raises:
        SettingError: There are none, or two with one name.
    """
    films: dict[str, Path] = {}
    for path, file in find_videos(folder).items():
        name = path.removesuffix(file.suffix)
        if name in films:
            raise SettingError(
                f"two films have the name {name!r}", where=str(folder), remedy="rename one of them"
            )
        films[name] = file
    return films


def pair_films(videos: Path, reference: Path) -> tuple[list[Pair], dict[str, str]]:
    """The pairs in the order of their names, and why films have no pair.

    A reference without a generated film is named if its folder, such as a recording of several cameras, has
    others that have one. The other references without one are counted.

    Raises:
        SettingError: A folder has no films, or no film has a reference.
    """
    truth = find_films(reference)
    generated: dict[str, list[Path]] = {}
    failed: dict[str, str] = {}
    for name, file in find_films(videos).items():
        target = name if name in truth else _SEED.sub("", name)
        if target in truth:
            generated.setdefault(target, []).append(file)
        else:
            failed[name] = f"there is no film {target!r} in the reference"
    if not generated:
        raise SettingError(
            "no film has a reference: films are paired by name, NAME.mp4 or NAME__SEED.mp4 with NAME.mp4",
            where=f"{videos} and {reference}",
            remedy=f"give generated films the names of the reference, such as {next(iter(truth))}.mp4",
        )
    folders = {name.rpartition("/")[0] for name in generated} - {""}
    lacking = [name for name in truth if name not in generated]
    rest = [name for name in lacking if name.rpartition("/")[0] not in folders]
    failed |= {name: "there is no generated film of it" for name in lacking if name not in rest}
    if rest:
        more = f" and {len(rest) - 1} more of the reference" if len(rest) > 1 else ""
        failed[f"{rest[0]}{more}"] = "there is no generated film"
    pairs = [Pair(name, truth[name], tuple(sorted(files))) for name, files in sorted(generated.items())]
    return pairs, failed


def read_film(file: Path) -> tuple[Frames, float]:
    """All frames of a film, and its frames per second.

    Raises:
        VideoError: It cannot be decoded, or has no frames or no rate.
    """
    try:
        import av
    except ImportError as error:
        raise SettingError("reading films needs PyAV", remedy="pip install av") from error
    try:
        with open_video(file) as container:
            if not container.streams.video:
                raise VideoError("it has no video stream", where=str(file))
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"it cannot be decoded: {error}", where=str(file)) from error
    if not frames or not rate:
        raise VideoError("it has no frames" if rate else "it has no frame rate", where=str(file))
    return np.stack(frames), rate


def read_generated(file: Path, size: tuple[int, int], rate: float) -> Frames:
    """The frames of a generated film at the size of its reference.

    A film with the same aspect is scaled (area averaging down, bilinear up).

    Args:
        file: The film.
        size: Height and width of the reference in px.
        rate: Its frames per second.

    Raises:
        VideoError: It cannot be decoded, or has another aspect or rate.
    """
    frames, own_rate = read_film(file)
    if abs(own_rate / rate - 1) > MAX_RATE_DIFFERENCE:
        raise VideoError(
            f"it has {own_rate:g} frames per second, and the reference {rate:g}: frames would not be those of"
            " the same times",
            where=str(file),
        )
    h, w = frames.shape[1:3]
    if (h, w) == size:
        return frames
    if abs(w / h / (size[1] / size[0]) - 1) > MAX_ASPECT_DIFFERENCE:
        raise VideoError(
            f"it has {w} x {h} px, another aspect than the reference of {size[1]} x {size[0]} px",
            where=str(file),
        )
    from training.metrics.world.matches import require_opencv

    cv2 = require_opencv()
    method = cv2.INTER_AREA if h > size[0] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size[::-1], interpolation=method) for frame in frames])


def count_common_frames(films: Mapping[str, Frames], reference: Frames, given_frames: int) -> int:
    """The number of frames that all films have; all of them are compared over these.

    Raises:
        VideoError: A film has no frame after the given ones.
    """
    counts = {name: len(frames) for name, frames in films.items()} | {"the reference": len(reference)}
    shortest = min(counts, key=lambda name: counts[name])
    if counts[shortest] < given_frames + 1 or counts[shortest] < 2:
        needed = max(2, given_frames + 1)
        raise VideoError(f"{shortest} has {counts[shortest]} frames, and an evaluation needs {needed}")
    return counts[shortest]
