"""Reads what is known of a reference film: cameras and states of its sidecar, and masks of its objects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation.video_frames import VideoError
from training.metrics.world.epipolar import Array, is_rotation, rotation_defect
from training.metrics.world.flow import Labels

SUFFIX, MASKS_SUFFIX, METADATA = ".conditions.parquet", ".masks.npz", b"clipmill.conditions"
REGION = "instruction_region"


@dataclass(frozen=True)
class Conditions:
    """What is known of each frame of a film; None: not recorded.

    Attributes:
        poses: Camera-to-world, OpenCV axes, [t 3 4].
        intrinsics: fx, fy, cx, cy in px of the film's size, [t 4].
        state: Numbers such as the positions of objects, [t n].
        state_names: Their names.
        state_units: Their units.
        region: Where an instruction wants an object at the end: x_min, y_min, x_max, y_max, [4], in the unit
            of the states.
        region_object: The name of this object.
    """

    poses: Array | None = None
    intrinsics: Array | None = None
    state: Array | None = None
    state_names: Sequence[str] = field(default_factory=tuple)
    state_units: Sequence[str] = field(default_factory=tuple)
    region: Array | None = None
    region_object: str = ""

    def head(self, count: int) -> "Conditions":
        """Those of the first frames."""
        cut = [None if each is None else each[:count] for each in (self.poses, self.intrinsics, self.state)]
        return replace(self, poses=cut[0], intrinsics=cut[1], state=cut[2])


def read_conditions(film: Path, count: int, rate: float, size: tuple[int, int]) -> Conditions:
    """The conditions of the frames of a film, from NAME.conditions.parquet; empty without that file.

    Each frame has the row with the nearest timestamp.

    Args:
        film: The film.
        count: Its number of frames.
        rate: Its frames per second.
        size: Its height and width in px; intrinsics of another size are scaled.

    Raises:
        VideoError: The file cannot be read, its rows do not cover the frames, or a pose is no rotation.
    """
    file = film.with_name(film.stem + SUFFIX)
    if not file.exists():
        return Conditions()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        spec = json.loads((table.schema.metadata or {}).get(METADATA, b"{}"))
        columns = {name: _numbers(table, name, file) for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise VideoError(f"its conditions cannot be read: {error}", where=str(file)) from error
    if "timestamp" not in columns:
        raise VideoError("its conditions have no column timestamp", where=str(file))
    rows = _nearest_rows(columns["timestamp"][:, 0], count, rate, file)
    poses = columns["camera_pose"][rows].reshape(-1, 3, 4) if "camera_pose" in columns else None
    if poses is not None:
        _check_poses(poses, file)
    intrinsics = None
    if "camera_intrinsics" in columns:
        intrinsics = columns["camera_intrinsics"][rows] * _scale(spec, size)
    state = columns["state"][rows] if "state" in columns else None
    about: dict[str, Any] = spec.get("state", {})
    names, units = tuple(about.get("names", ())), tuple(about.get("units", ()))
    region = _region(columns[REGION], file) if REGION in columns else None
    return Conditions(
        poses, intrinsics, state, names, units, region, str(spec.get(REGION, {}).get("object", ""))
    )


def read_masks(film: Path, shape: tuple[int, int, int]) -> Labels | None:
    """The masks of a film from NAME.masks.npz, uint8 [t h w], 0 is the background; None without that file.

    Raises:
        VideoError: The file cannot be read, or has another shape than the film.
    """
    file = film.with_name(film.stem + MASKS_SUFFIX)
    if not file.exists():
        return None
    try:
        with np.load(file) as arrays:
            masks: npt.NDArray[np.uint8] = arrays["masks"]
    except (OSError, ValueError, KeyError) as error:
        raise VideoError(f"its masks cannot be read: {error}", where=str(file)) from error
    if masks.shape != shape or masks.dtype != np.uint8:
        raise VideoError(
            f"its masks are {masks.dtype} {list(masks.shape)}, and not uint8 {list(shape)}", where=str(file)
        )
    return masks


def _numbers(table: Any, name: str, file: Path) -> Array:
    """A column as [rows n]."""
    values = table.column(name).to_pylist()
    array = np.array(values, np.float64)
    if array.ndim > 2 or not len(array):
        raise VideoError(f"its column {name} is not one list of numbers per row", where=str(file))
    return array.reshape(len(array), -1)


def _nearest_rows(timestamps: Array, count: int, rate: float, file: Path) -> npt.NDArray[np.int64]:
    times = np.arange(count) / rate
    rows: npt.NDArray[np.int64] = np.abs(times[:, None] - timestamps[None]).argmin(1)
    distance = np.abs(times - timestamps[rows])
    if distance.max() > 0.5 / rate:
        late = int(np.argmax(distance > 0.5 / rate))
        raise VideoError(
            f"its conditions do not cover frame {late} at {times[late]:.3f} s: the nearest row is at"
            f" {timestamps[rows[late]]:.3f} s",
            where=str(file),
        )
    return rows


def _check_poses(poses: Array, file: Path) -> None:
    for number, pose in enumerate(poses):
        if not (is_rotation(pose[:, :3]) and np.isfinite(pose[:, 3]).all()):
            raise VideoError(
                f"the camera_pose of frame {number} is no rotation and translation: R^T R differs from the"
                f" identity by {rotation_defect(pose[:, :3]):.2g}, det R is {np.linalg.det(pose[:, :3]):.3g}",
                where=str(file),
                remedy="write camera-to-world [R|t], 3 x 4, row-major",
            )


def _region(rows: Array, file: Path) -> Array:
    """The region of an instruction, which holds for the whole film."""
    region: Array = rows[-1]
    if region.shape != (4,) or not (region[:2] <= region[2:]).all() or (rows != region).any():
        raise VideoError(
            f"its {REGION} is not one x_min, y_min, x_max, y_max in all rows: {region.tolist()} in the last",
            where=str(file),
            remedy="write the region in which the object must end, equal in each row",
        )
    return region


def _scale(spec: dict[str, Any], size: tuple[int, int]) -> Array:
    """Factors of fx, fy, cx, cy from the size that the sidecar names to that of the film."""
    about = spec.get("camera_intrinsics", {})
    h, w = size
    x, y = w / about.get("width", w), h / about.get("height", h)
    return np.array([x, y, x, y])
