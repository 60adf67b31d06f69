"""Validates the conditions of packed latents: actions and poses of each clip, and what the index says."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.media.safetensors_header import read_header

MAX_ROTATION_ERROR = 1e-3  # of R transposed R from the identity, and of the determinant from 1
MAX_STATISTICS_ERROR = 1e-3  # of mean and standard deviation of the actions, relative above 1
STATISTICS = ("mean", "std")
Array = npt.NDArray[Any]


@dataclass
class ActionSums:
    """Count, sum and sum of squares of each number of the actions of the train split."""

    count: int = 0
    total: Any = 0.0
    squares: Any = 0.0
    has_other_size: bool = field(default=False, init=False)

    def add(self, action: Array) -> None:
        """Add the actions [n-1 a] of a clip."""
        if self.count and action.shape[1:] != np.shape(self.total):
            self.has_other_size = True
            return
        values = action.astype(np.float64)
        self.count += len(values)
        self.total, self.squares = self.total + values.sum(0), self.squares + np.square(values).sum(0)

    def faults(self, stated: Mapping[str, Any]) -> Iterator[str]:
        """What the index states wrongly under "action"."""
        if not self.count or self.has_other_size:
            return
        mean = self.total / self.count
        std = np.sqrt(np.maximum(0, self.squares / self.count - mean**2))
        for name, measured in zip(STATISTICS, (mean, std), strict=True):
            values = np.asarray(stated.get(name, ()), np.float64)
            limit = MAX_STATISTICS_ERROR * np.maximum(1, np.abs(measured))
            if values.shape != measured.shape or not (np.abs(values - measured) <= limit).all():
                yield (
                    f"the {name} of the actions in the indexes is {values.round(6).tolist()}, and that of the"
                    f" train split {measured.round(6).tolist()}: a training would normalize them wrongly"
                )


def condition_faults(
    data: bytes | None, stated: Mapping[str, Any] | None, frames: int, fps: float, sums: ActionSums | None
) -> Iterator[str]:
    """What is wrong with the conditions of a clip.

    Args:
        data: Its file; None if it has none.
        stated: What the index says of the conditions of its clips; None: they have none.
        frames: Frames of the clip.
        fps: Frames per second of the clip.
        sums: Its actions are added to them; None: they are not.
    """
    if data is None or stated is None:
        if data is not None:
            yield "it has conditions, which the index does not describe"
        elif stated is not None:
            yield "it has no conditions, and the index describes some"
        return
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        spec = json.loads(read_header(data)["__metadata__"]["clipmill"])
        arrays: dict[str, Array] = load(data)
    except (ValueError, KeyError, SafetensorError) as error:
        yield f"its conditions cannot be read: {error}"
        return
    yield from _spec_faults(spec, stated, fps)
    lengths: dict[str, tuple[int, ...]] = {
        "action": (frames - 1, len(stated.get("action", {}).get("names", ())))
    }
    if "camera_pose" in stated:
        lengths |= {"camera_pose": (frames, 3, 4), "camera_intrinsics": (frames, 4)}
    for name, shape in lengths.items():
        if name not in stated and name != "camera_intrinsics":
            continue
        found = arrays.get(name)
        if found is None or found.shape != shape:
            has = "none" if found is None else str(list(found.shape))
            yield f"its {name} must be {list(shape)} for {frames} frames, and is {has}"
        elif not np.isfinite(found).all():
            yield f"its {name} has NaN or infinity"
        elif name == "camera_pose" and (number := first_no_rotation(found)) is not None:
            yield f"the camera pose of its frame {number} is no rotation"
        elif name == "camera_intrinsics" and (found[:, :2] <= 0).any():
            yield "a focal length is not above 0"
        elif name == "action" and sums is not None:
            sums.add(found)


def _spec_faults(spec: Mapping[str, Any], stated: Mapping[str, Any], fps: float) -> Iterator[str]:
    """Fields of the clip that are not those of the index, and another rate than that of the clip."""
    if abs(float(spec.get("rate", 0)) - fps) > 1e-6 * fps:
        yield f"its conditions have a rate of {spec.get('rate')} per second, and its latents {fps:g} fps"
    for part in sorted({*spec, *stated}):
        own, other = spec.get(part), stated.get(part)
        if isinstance(other, Mapping):
            other = {name: value for name, value in other.items() if name not in STATISTICS}
        if own != other:
            yield f"its conditions have {part} {own}, and the index has {other}"


def first_no_rotation(poses: Array) -> int | None:
    """The number of the first of the poses [n 3 4] whose left part is no rotation; None if all are."""
    rotation = poses[:, :, :3].astype(np.float64)
    defect = np.abs(np.swapaxes(rotation, 1, 2) @ rotation - np.eye(3)).max((1, 2))
    wrong = (defect > MAX_ROTATION_ERROR) | (np.linalg.det(rotation) < 0)
    return int(wrong.argmax()) if wrong.any() else None
