"""Reads the actions, the camera poses and the trajectory of a video to be sampled from files.

- .npy: actions [n a], or poses [n 3 4] or [n 12] (camera to world, OpenCV axes), or places [p 3].
- .csv: actions, with a header of their names in any order. A column `timestamp` (s) states their rate.
- .parquet: the conditions of a video, NAME.conditions.parquet: one row per frame, so the action of the last
  row leads to no frame. Its metadata "clipmill.conditions" state rate, names and size of the frames.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.conditions.plucker import check_intrinsics, check_poses, fit_intrinsics
from training.conditions.spec import ActionSpec, TrajectorySpec
from training.errors import SettingError

RATE_TOLERANCE = 1e-3
METADATA_KEY = b"clipmill.conditions"


def read_actions(file: Path, spec: ActionSpec, rate: float) -> Tensor:
    """The actions of a file, float32 [n a] in the units of the spec.

    Args:
        file: .npy, .csv or .parquet.
        spec: The actions of the model.
        rate: Actions per second of the model.

    Raises:
        SettingError: The file cannot be read, is empty, or has actions of another size, name, unit or rate.
    """
    data = _read(file)
    if file.suffix == ".csv":
        actions = _read_csv(data, spec, rate, file)
    elif file.suffix == ".parquet":
        columns, stated = _read_parquet(data, ("action",), file)
        _check_rate(stated.get("rate"), rate, file)
        described = stated.get("action", {})
        for name, own in (("names", spec.names), ("units", spec.units)):
            if name in described and tuple(described[name]) != own:
                raise SettingError(
                    f"the {name} of the actions are {', '.join(described[name])}, but {', '.join(own)} in the"
                    " model",
                    where=str(file),
                )
        actions = columns["action"][:-1]
    else:
        actions = _read_npy(data, file)
    size = len(spec.names)
    if actions.ndim != 2 or actions.shape[1] != size or not len(actions):
        raise SettingError(
            f"the actions have the shape {actions.shape}, and the model reads [n {size}]:"
            f" {', '.join(spec.names)}",
            where=str(file),
        )
    if not np.isfinite(actions).all():
        raise SettingError("an action has a value that is not finite (NaN or infinity)", where=str(file))
    return torch.from_numpy(np.ascontiguousarray(actions, np.float32))


def read_camera(file: Path, rate: float, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """The poses [n 3 4] of a file, and its intrinsics [n 4] in px of the sampled frames, if it has them.

    Args:
        file: .npy or .parquet.
        rate: Frames per second of the model.
        size: Height and width of the sampled frames in px. Frames of the file are scaled to cover them, and
            cropped at the center.

    Raises:
        SettingError: The file cannot be read, has another rate, or a rotation is none.
    """
    data, intrinsics = _read(file), None
    if file.suffix == ".parquet":
        columns, stated = _read_parquet(data, ("camera_pose", "camera_intrinsics"), file)
        _check_rate(stated.get("rate"), rate, file)
        poses = columns["camera_pose"]
        shown = stated.get("camera_intrinsics", {})
        if "width" in shown and "height" in shown:
            frame = int(shown["height"]), int(shown["width"])
            intrinsics = fit_intrinsics(torch.from_numpy(columns["camera_intrinsics"]), frame, size)
    else:
        poses = _read_npy(data, file)
    if poses.ndim < 2 or poses.size != 12 * len(poses):
        raise SettingError(f"the poses have the shape {poses.shape}, not [n 3 4]", where=str(file))
    camera = torch.from_numpy(np.ascontiguousarray(poses, np.float64)).reshape(-1, 3, 4)
    try:
        check_poses(camera)
        if intrinsics is not None:
            check_intrinsics(intrinsics)
    except ValueError as error:
        raise SettingError(str(error), where=str(file)) from error
    return camera, intrinsics


def read_trajectory(file: Path, spec: TrajectorySpec) -> Tensor:
    """The places [p 3] of a file, float32 in the unit of the spec: of a .parquet those of its first row.

    Args:
        file: .npy or .parquet.
        spec: The trajectory of the model.

    Raises:
        SettingError: The file cannot be read, or has another number of points, step, unit or frame.
    """
    data = _read(file)
    if file.suffix == ".parquet":
        columns, stated = _read_parquet(data, ("trajectory",), file)
        for name, value in stated.get("trajectory", {}).items():
            if (own := getattr(spec, name, value)) != value:
                raise SettingError(
                    f"{name} of the trajectory is {value}, but {own} in the model", where=str(file)
                )
        places = columns["trajectory"][0]
    else:
        places = _read_npy(data, file)
    if places.size != 3 * spec.points or not np.isfinite(places).all():
        raise SettingError(
            f"the trajectory {places.shape} is not [{spec.points} 3] of finite numbers, as the model reads",
            where=str(file),
        )
    return torch.from_numpy(np.ascontiguousarray(places, np.float32)).reshape(-1, 3)


def _read(file: Path) -> bytes:
    if file.suffix not in (".npy", ".csv", ".parquet"):
        raise SettingError(
            "conditions are read from .npy, .csv or .parquet files, and this is none of them", where=str(file)
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingError(f"the file cannot be read: {error.strerror}", where=str(file)) from error


def _read_npy(data: bytes, file: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return array.astype(np.float64)
    except (ValueError, EOFError, OSError, TypeError) as error:
        raise SettingError(f"this is no .npy file of numbers: {error}", where=str(file)) from error


def _read_csv(data: bytes, spec: ActionSpec, rate: float, file: Path) -> npt.NDArray[Any]:
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(data.decode())) if row]
        names = [name.strip() for name in header]
        table = np.array([[float(value) for value in row] for row in rows], np.float64)
        columns = dict(zip(names, table.T, strict=True))
    except ValueError as error:
        raise SettingError(f"this is no table of numbers with a header: {error}", where=str(file)) from error
    times = columns.pop("timestamp", None)
    if sorted(columns) != sorted(spec.names):
        raise SettingError(
            f"the columns are {', '.join(names)}, and the model reads {', '.join(spec.names)}",
            where=str(file),
            remedy="name the columns in the header, and leave others out",
        )
    if times is not None and len(times) > 1:
        _check_rate((len(times) - 1) / (times[-1] - times[0]), rate, file)
    return np.stack([columns[name] for name in spec.names], 1)


def _read_parquet(
    data: bytes, names: Sequence[str], file: Path
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Columns of lists of numbers, and what the metadata state."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        stated = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
        return {name: np.array(table[name].to_pylist(), np.float64) for name in names}, stated
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise SettingError(
            f"it cannot be read as conditions of a video: {type(error).__name__}: {error}",
            where=str(file),
            remedy=f"it needs {' and '.join(names)}, lists of numbers",
        ) from error


def _check_rate(found: Any, rate: float, file: Path) -> None:
    if found is not None and abs(float(found) / rate - 1) > RATE_TOLERANCE:
        raise SettingError(
            f"the file has a rate of {float(found):g} per second, and the model {rate:g}",
            where=str(file),
            remedy="resample it to the rate of the model",
        )
