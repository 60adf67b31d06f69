"""Gives each window of latents the conditions of its frames, from the sidecar of the video."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.conditions.sidecar import Sidecar, SidecarError, parse_conditions, read_conditions, sidecar_uri
from stages.media.encoding.encoders import check_choice
from stages.media.files import file_status
from stages.media.safetensors_header import read_header_of

CONDITIONS = {
    "action": ("action",),
    "camera": ("camera_pose", "camera_intrinsics"),
    "trajectory": ("trajectory",),
}
TOLERANCE = 0.05  # of a row: how much later than a frame its timestamp may be, for rounding
RATE_TOLERANCE = 1e-3  # relative
ASPECT_TOLERANCE = 0.02  # relative, of a frame that was scaled to whole pixels

Array = npt.NDArray[Any]


class LocatedWindow(Row):
    uri: str
    start_s: float
    window_first_frame: int
    window_frames: int
    window_fps: float
    latents: Artifact
    camera_path: Artifact | None = None


class WindowConditions(Row):
    conditions: Artifact | None = column(
        "safetensors file of the conditions of each frame: action [n-1 a], camera_pose [n 3 4], "
        "camera_intrinsics [n 4] in px of the encoded frame, trajectory [p 3] after the first frame"
    )
    missing_conditions: str = column("conditions that the sidecar of the video does not have; empty if none")
    action_means: tuple[float, ...] = column(
        "mean of each number of the action, in its own unit; empty without actions", unit="1"
    )
    action_mean_squares: tuple[float, ...] = column(
        "mean of the squares of each number of the action", unit="1"
    )


class AddConditions(Annotate[LocatedWindow, WindowConditions]):
    """Gives each window the conditions of its frames, from `NAME.conditions.parquet` beside the video.

    A clip whose camera was estimated (`EstimateCamera`) has its poses from there.

    A frame has the row whose time is the last before it: that of the frame which is displayed. Action i
    leads from frame i of the window to frame i + 1. Intrinsics are scaled and cropped as the encoded frames.
    The trajectory is that of the first frame: places x, y, z at equal times after it.
    A window is rejected if its sidecar is damaged, has a camera pose that is no rotation, ends before the
    window, or has actions of another rate than the frames of the window.

    Attributes:
        conditions: What is read: action, camera, trajectory, or several.
    """

    conditions: tuple[str, ...] = ("action", "camera")

    needs = Needs(cpus=0.5)

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError(f"conditions is empty; name some of {', '.join(CONDITIONS)}")
        for name in self.conditions:
            check_choice(name, tuple(CONDITIONS), "conditions")

    def annotate(self, rows: Sequence[LocatedWindow]) -> Iterator[WindowConditions | Reject]:
        for row in rows:
            try:
                yield self._of_window(row)
            except Reject as reason:
                yield reason

    def _of_window(self, row: LocatedWindow) -> WindowConditions:
        sources = {name: _source_of(name, row) for name in self.conditions}
        if missing := [name for name, source in sources.items() if source is None]:
            return WindowConditions(
                conditions=None,
                missing_conditions=",".join(missing),
                action_means=(),
                action_mean_squares=(),
            )
        arrays: dict[str, Array] = {}
        spec: dict[str, Any] = {"rate": row.window_fps}
        actions = np.empty((0, 0))
        if source := sources.get("action"):
            arrays["action"] = source.sidecar.columns["action"][_steps(source, row)]
            spec["action"] = source.sidecar.spec["action"]
            actions = arrays["action"].astype(np.float64)
        if source := sources.get("camera"):
            columns, where = source.sidecar.columns, _rows_at(source, row)
            arrays["camera_pose"] = columns["camera_pose"][where].reshape(-1, 3, 4)
            size = source.sidecar.spec["camera_intrinsics"]
            arrays["camera_intrinsics"] = _fit_intrinsics(
                columns["camera_intrinsics"][where], size, row.latents
            )
            spec["camera_pose"] = source.sidecar.spec["camera_pose"]
        if source := sources.get("trajectory"):
            ahead = source.sidecar.columns["trajectory"][_rows_at(source, row)[0]]
            arrays["trajectory"] = ahead.reshape(-1, 3)
            spec["trajectory"] = source.sidecar.spec["trajectory"]
        return WindowConditions(
            conditions=Artifact.of(_serialize(arrays, spec), ".safetensors"),
            missing_conditions="",
            action_means=tuple(actions.mean(0).tolist()) if len(actions) else (),
            action_mean_squares=tuple(np.square(actions).mean(0).tolist()) if len(actions) else (),
        )


class _Source(NamedTuple):
    """Conditions, and the time at which they begin: the start of the video or of the clip, in s."""

    sidecar: Sidecar
    start_s: float

    def times(self, row: LocatedWindow) -> Array:
        """The time of each frame of a window, s after the start of the conditions."""
        frames = row.window_first_frame + np.arange(row.window_frames)
        return np.asarray(row.start_s - self.start_s + frames / row.window_fps)


def _source_of(name: str, row: LocatedWindow) -> _Source | None:
    """Where a window has a condition from: the estimated path of the camera of its clip, or the sidecar.

    Raises:
        Reject: It is damaged.
    """
    if name == "camera" and row.camera_path is not None:
        return _Source(parse_conditions(row.camera_path.read(), "camera_path"), row.start_s)
    sidecar = _read_sidecar(row.uri)
    return _Source(sidecar, 0.0) if sidecar and CONDITIONS[name][0] in sidecar.columns else None


class _Key(NamedTuple):
    uri: str
    size_bytes: int | None
    stamp: str


def _read_sidecar(video: str) -> Sidecar | None:
    """The sidecar of a video; None if it has none.

    Raises:
        Reject: It is damaged.
    """
    uri = sidecar_uri(video)
    if uri is None:
        return None
    try:
        return _cached_sidecar(_Key(uri, *file_status(uri)))
    except FileNotFoundError:
        return None
    except SidecarError as error:
        raise Reject(str(error)) from error


@lru_cache(maxsize=8)
def _cached_sidecar(key: _Key) -> Sidecar:
    return read_conditions(key.uri)


def _rows_at(source: _Source, row: LocatedWindow) -> Array:
    """The number of the row of each frame of a window, [n].

    Raises:
        Reject: The conditions end before the window.
    """
    times, known = source.times(row), source.sidecar.timestamps
    period = 1 / float(source.sidecar.spec["rate"])
    found = np.searchsorted(known, times + TOLERANCE * period, side="right") - 1
    if found[0] < 0 or times[-1] - known[found[-1]] > (1 + TOLERANCE) * period:
        raise Reject(
            f"the conditions end at {known[-1]:g} s, but the window shows {times[0]:g} to {times[-1]:g} s"
        )
    return np.asarray(found)


def _steps(source: _Source, row: LocatedWindow) -> Array:
    """The row of the action between each two frames, [n-1].

    Raises:
        Reject: The rate of the actions is not that of the frames.
    """
    rate, where = float(source.sidecar.spec["rate"]), _rows_at(source, row)
    if abs(rate / row.window_fps - 1) > RATE_TOLERANCE or (np.diff(where) != 1).any():
        raise Reject(
            f"the video has {rate:g} actions per second, but the window {row.window_fps:g} frames per second:"
            " set latent_fps to the rate of the actions"
        )
    return where[:-1]


def _fit_intrinsics(intrinsics: Array, size: Mapping[str, Any], latents: Artifact) -> Array:
    """fx, fy, cx, cy [n 4] in px of the encoded frame, which was scaled, cropped and padded.

    Raises:
        Reject: The clip does not show the whole frame.
    """
    metadata = json.loads(read_header_of(latents)["__metadata__"]["clipmill"])
    (width, height), (crop_x, crop_y, *_), (x, y, *_) = (
        metadata[name] for name in ("scaled_px", "crop_px", "video_px")
    )
    scale = np.array([width / size["width"], height / size["height"]], np.float64)
    if abs(scale[0] / scale[1] - 1) > ASPECT_TOLERANCE:
        raise Reject(
            f"the clip does not show the whole frame of {size['width']} x {size['height']} px that the"
            " intrinsics are of: curate it without cropping"
        )
    shift = np.array([x - crop_x, y - crop_y])
    return np.asarray(np.concatenate([intrinsics[:, :2] * scale, intrinsics[:, 2:] * scale + shift], 1))


def _serialize(arrays: Mapping[str, Array], spec: Mapping[str, Any]) -> bytes:
    """A safetensors file of float32 arrays and what they mean. Equal values give equal bytes."""
    from safetensors.numpy import save

    exact = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    data: bytes = save(exact, metadata={"clipmill": json.dumps(spec, sort_keys=True)})
    return data
