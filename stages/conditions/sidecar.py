"""The conditions of a video: `NAME.conditions.parquet` beside the video says what happened at each time.

A row holds from its `timestamp` until that of the next row. The columns are:

    timestamp           float64, s from the first frame; the first is 0, and they increase
    action              list<float32> [a], the command in effect
    camera_pose         list<float32> [12], camera to world [R|t] row by row; x right, y down, z forward
    camera_intrinsics   list<float32> [4], fx, fy, cx, cy in px; the center of the first pixel is (0.5, 0.5)
    trajectory          list<float32> [3 p], x, y, z of the p places at equal times after the row

All but the first may be left out; `camera_pose` and `camera_intrinsics` need each other. Further columns of
lists of numbers, such as the positions of objects (`state`), are kept for evaluations. The schema has under
"clipmill.conditions" a JSON object: "rate" in rows per second, and an object for each column. That of
`action` has "names" and "units" of its numbers and the "frame" of reference in which they hold. That of
`camera_pose` has the "unit" of length. That of `camera_intrinsics` has "width" and "height" of the displayed
frames in px. That of `trajectory` has "points", "step_s" between them, "unit" and "frame" of reference.
"""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from manifests import ClipmillError
from stages.media.files import open_uri
from stages.media.remote.addresses import without_mark
from stages.media.uri import is_http, listed_url, local_path, path_to_uri, tar_member

SUFFIX = ".conditions.parquet"
METADATA_KEY = b"clipmill.conditions"
ROTATION_TOLERANCE = 1e-3  # of the entries of R R^T, and of the determinant
MAX_BYTES = 2**28
_SIZES = {"camera_pose": 12, "camera_intrinsics": 4}

Array = npt.NDArray[Any]


class SidecarError(ClipmillError):
    """The conditions of a video are not in their format."""


class Sidecar(NamedTuple):
    """The conditions of a video.

    Attributes:
        timestamps: Time of each row in s from the first frame of the video, float64 [n].
        columns: The numbers of each column, float32 [n d].
        spec: "rate" in 1/s, and what is known of each column; see above.
    """

    timestamps: Array
    columns: Mapping[str, Array]
    spec: Mapping[str, Any]


def sidecar_uri(uri: str) -> str | None:
    """Where the conditions of a video are. None for members of tars and signed URLs."""
    if tar_member(uri) or listed_url(uri):
        return None
    if (path := local_path(uri)) is not None:
        return path_to_uri(Path(path).with_suffix(SUFFIX))
    if is_http(uri):
        parts = urlsplit(without_mark(uri))
        found = urlunsplit(parts._replace(path=_renamed(parts.path)))
        return found + uri[len(without_mark(uri)) :]
    return _renamed(uri)


def _renamed(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot else name}{SUFFIX}"


def write_conditions(
    video: Path, timestamps: npt.ArrayLike, columns: Mapping[str, npt.ArrayLike], spec: Mapping[str, Any]
) -> Path:
    """Write the conditions of a video beside it. Equal values give equal bytes.

    Args:
        video: Path of the video, which need not exist yet.
        timestamps: [n], s.
        columns: Numbers of each column, [n d].
        spec: See `Sidecar`.

    Raises:
        SidecarError: The values are not in the format.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = video.with_suffix(SUFFIX)
    arrays = {name: np.asarray(values, np.float32) for name, values in columns.items()}
    times = np.asarray(timestamps, np.float64)
    _check(Sidecar(times, arrays, spec), str(path))
    fields = {"timestamp": pa.array(times)}
    for name, array in arrays.items():
        fields[name] = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
    metadata = {METADATA_KEY: json.dumps(spec, sort_keys=True)}
    pq.write_table(pa.table(fields).replace_schema_metadata(metadata), path, compression="zstd")
    return path


def read_conditions(uri: str) -> Sidecar:
    """Read the file that `sidecar_uri` names.

    Raises:
        FileNotFoundError: There is none.
        SidecarError: It is not in the format.
    """
    with open_uri(uri) as file:
        data = file.read(MAX_BYTES + 1)
    where = without_mark(uri)
    if len(data) > MAX_BYTES:
        raise SidecarError(f"it is larger than {MAX_BYTES >> 20} MiB", where=where, remedy="split the video")
    return parse_conditions(data, where)


def parse_conditions(data: bytes, where: str) -> Sidecar:
    """Read the content of such a file.

    Raises:
        SidecarError: It is not in the format.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        spec = json.loads((table.schema.metadata or {})[METADATA_KEY])
        times = table["timestamp"].to_numpy().astype(np.float64)
        columns = {
            name: _matrix(table[name].combine_chunks(), name, where)
            for name in table.column_names
            if name != "timestamp"
        }
    except (pa.ArrowException, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SidecarError(
            f"it cannot be read as conditions of a video: {reason}",
            where=where,
            remedy="write it with stages.conditions.sidecar.write_conditions",
        ) from error
    sidecar = Sidecar(times, columns, spec if isinstance(spec, dict) else {})
    _check(sidecar, where)
    return sidecar


def _matrix(lists: Any, name: str, where: str) -> Array:
    """Lists of equal lengths as a matrix [n d]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_list(lists.type) or pa.types.is_fixed_size_list(lists.type)):
        raise SidecarError(
            f"the column {name} has the type {lists.type}, not a list of numbers",
            where=where,
            remedy="write a list of numbers in each row",
        )
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    if lists.null_count or len(set(lengths.tolist())) > 1:
        raise SidecarError(
            f"the lists of the column {name} have different lengths, or some are missing",
            where=where,
            remedy="write as many numbers in each row",
        )
    values: Array = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(lists), -1)


def _check(sidecar: Sidecar, where: str) -> None:
    """Check all values.

    Raises:
        SidecarError: A value is wrong.
    """
    for what, remedy in _faults(sidecar):
        raise SidecarError(what, where=where, remedy=remedy)


def _faults(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """What is wrong, and the remedy of each fault. Later checks rely on earlier ones."""
    times, columns, spec = sidecar
    rate = spec.get("rate")
    if not len(times) or times[0] != 0 or not (np.diff(times) > 0).all():
        yield "the timestamps do not begin at 0 and increase", "count seconds from the first frame"
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        yield f"its rate is {rate!r}", "state the rows per second under rate"
    if ("camera_pose" in columns) != ("camera_intrinsics" in columns):
        yield "camera_pose and camera_intrinsics need each other", "write both columns"
    for name, values in columns.items():
        size = _SIZES[name] if name in _SIZES else values.shape[-1]
        if values.shape != (len(times), size):
            remedy = f"write {size} numbers for each of the {len(times)} timestamps"
            yield f"{name} has the shape {list(values.shape)}", remedy
        yield from _at(
            ~np.isfinite(values).all(axis=1), times, f"{name} is not finite", "write finite numbers"
        )
    if "action" in columns:
        yield from _faults_of_action(columns["action"].shape[1], spec.get("action") or {})
    if "camera_pose" in columns:
        poses, focal = columns["camera_pose"].reshape(-1, 3, 4), columns["camera_intrinsics"][:, :2]
        remedy = "write camera to world, 3 x 4, row by row"
        yield from _at(~_are_rotations(poses[:, :, :3]), times, "the camera pose is no rotation", remedy)
        positive = (focal > 0).all(1)
        yield from _at(~positive, times, "a focal length is not positive", "write fx, fy, cx, cy in px")
        frame = spec.get("camera_intrinsics") or {}
        if not (frame.get("width", 0) > 0 and frame.get("height", 0) > 0):
            yield "camera_intrinsics has no width and height", "state the size of the displayed frames in px"
        if not (spec.get("camera_pose") or {}).get("unit"):
            yield "camera_pose has no unit", "state the unit of length, such as m"
    if "trajectory" in columns:
        yield from _faults_of_trajectory(columns["trajectory"].shape[1], spec.get("trajectory") or {})


def _at(wrong: Any, times: Array, what: str, remedy: str) -> Iterator[tuple[str, str]]:
    if wrong.any():
        yield f"{what} at {times[int(wrong.argmax())]:g} s", remedy


def _faults_of_action(size: int, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names, units = spec.get("names", ()), spec.get("units", ())
    if not len(names) == len(units) == size:
        yield (
            f"action has {size} numbers, but {len(names)} names and {len(units)} units",
            "state each of them",
        )
    if not spec.get("frame"):
        yield "action has no frame of reference", "state it under frame, such as gripper or world"


def _faults_of_trajectory(size: int, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if size != 3 * spec.get("points", 0):
        yield f"trajectory has {size} numbers, not x, y, z of its points", "state their number under points"
    if missing := [name for name in ("step_s", "unit", "frame") if not spec.get(name)]:
        yield f"trajectory has no {missing[0]}", "state the time between points, their unit and frame"


def _are_rotations(matrices: Array) -> Array:
    """Which matrices [n 3 3] are rotations, bool [n]."""
    exact = matrices.astype(np.float64)
    square = exact @ exact.transpose(0, 2, 1)
    is_orthogonal = (np.abs(square - np.eye(3)) < ROTATION_TOLERANCE).all((1, 2))
    return np.asarray(is_orthogonal & (np.abs(np.linalg.det(exact) - 1) < ROTATION_TOLERANCE))
