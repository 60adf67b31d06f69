"""What a generator makes: scenes, each of one or several videos with their conditions, masks and captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Film:
    """A simulated video. Its frames are `1 / rate` seconds apart.

    Attributes:
        name: Path below the folder, without an ending.
        frames: RGB, uint8 [t h w 3].
        conditions: Per column of the sidecar, one row of numbers for each frame, [t n].
        spec: What is known of the columns; see `stages.conditions.sidecar.Sidecar`.
        caption: What the video shows.
        listed: Further columns of the list, such as the kind of the scene.
        masks: Number of the object that each pixel shows, 0 for the background, uint8 [t h w].
    """

    name: str
    frames: Images
    conditions: Mapping[str, npt.NDArray[Any]]
    spec: Mapping[str, Any]
    caption: str
    listed: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    masks: Images | None = None


class Generator(Protocol):
    """Simulates the scenes of a data set. It is a value: equal generators simulate equal scenes."""

    @property
    def fps(self) -> float:
        """Frames per second of the videos."""
        ...

    def prepare(self) -> None:
        """Check that this machine can simulate, before any process starts.

        Raises:
            ClipmillError: A package is missing, or nothing can be rendered without a display.
        """
        ...

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the videos of a scene, whose number decides all its random choices."""
        ...


def random_of(seed: int, generator: str, scene: int) -> np.random.Generator:
    """The random numbers of a scene. Other scenes, seeds and generators have independent ones."""
    return np.random.default_rng([seed, *generator.encode(), scene])


def split_of(scene: int, validation_share: float) -> str:
    """The split of a scene, which further scenes do not change: a share of every run of scenes."""
    held_out = int((scene + 1) * validation_share + 1e-9) > int(scene * validation_share + 1e-9)
    return "validation" if held_out else "train"


def camera_spec(width: int, height: int) -> dict[str, Any]:
    """The metadata of the columns `camera_pose` and `camera_intrinsics`."""
    return {"camera_pose": {"unit": "m"}, "camera_intrinsics": {"width": width, "height": height}}


def masks_path(video: Path) -> Path:
    """Where the masks of a video are: `NAME.masks.npz`, with the array "masks", uint8 [t h w]."""
    return video.with_suffix(".masks.npz")
