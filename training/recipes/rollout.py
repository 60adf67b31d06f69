"""Rollouts: videos of any length that follow actions or a camera, sampled chunk after chunk.

A chunk has as many frames as the clips of the training. It begins with the last frames of the video so far,
which are given to the model, and only the frames after them are added. So frame i + 1 is always the one that
action i leads to: no frame is shown twice, and none is left out.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.conditions.condition_files import read_actions, read_camera, read_trajectory
from training.conditions.reader import ConditionReader, FrameConditions
from training.conditions.spec import ACTION, CAMERA, TRAJECTORY, ConditionSpec
from training.conditions.trajectories import TRAJECTORIES, camera_trajectory
from training.diffusion.conditioning import Conditioning
from training.errors import SettingError
from training.model import ModelInfo, spec_of_conditions
from training.recipes.sampling_request import SamplingRequest

Frames = npt.NDArray[np.uint8]  # RGB, [b t h w 3]
SampleChunk = Callable[[int, int, Frames | None], Frames]


def roll_out(sample_chunk: SampleChunk, num_frames: int, context_frames: int) -> Frames:
    """A video of `num_frames` frames.

    Args:
        sample_chunk: Called with the number of the chunk, the number of its first frame in the video, and its
            given frames, which are the first ones of the chunk (None in chunk 0). Returns all of its frames.
        num_frames: Frames of the video. The last chunk is cut to it.
        context_frames: Frames that each chunk but the first is given.
    """
    shown, number = sample_chunk(0, 0, None), 0
    while shown.shape[1] < num_frames:
        number += 1
        first = shown.shape[1] - context_frames
        chunk = sample_chunk(number, first, shown[:, first:])
        shown = np.concatenate([shown, chunk[:, context_frames:]], 1)
    return shown[:, :num_frames]


def check_conditions(conditions: FrameConditions, spec: ConditionSpec | None, videos: int) -> ConditionSpec:
    """The spec of the model, which must read the conditions [b n …] of so many videos.

    Raises:
        SettingError: It does not, or there are those of another number of videos.
    """
    for name, values in conditions.items():
        part = name if name in ("action", "trajectory") else "camera"
        if spec is None or getattr(spec, part) is None:
            raise _not_read(name, part)
        if len(values) != videos:
            raise SettingError(f"{name} is of {len(values)} videos, and {videos} are sampled")
    assert spec is not None
    return spec


def check_not_missing(
    conditions: FrameConditions, spec: ConditionSpec | None, training: Mapping[str, Any]
) -> None:
    """Refuse to sample without a condition that the model always had in its training.

    Args:
        conditions: Those that are given, by the names of the stored tensors.
        spec: The conditions of the model; None of a model without any.
        training: The settings of its training.

    Raises:
        SettingError: One is missing, and its dropout was 0.
    """
    options = {
        ACTION: ("action", "--actions FILE"),
        CAMERA: ("camera_pose", "--camera-trajectory NAME"),
        TRAJECTORY: ("trajectory", "--trajectory FILE"),
    }
    for name in spec.names if spec else ():
        stored, option = options[name]
        if stored not in conditions and training.get(f"{name}_dropout") == 0:
            raise SettingError(
                f"the model always had its {name} in the training, and none is given",
                remedy=f"add {option}, or train with {name}_dropout above 0 to sample without",
            )


def condition_window(conditions: FrameConditions, first: int, frames: int) -> dict[str, Tensor]:
    """The conditions of some frames of a video; after its end the last values are repeated.

    Args:
        conditions: "action" [b n-1 a], "camera_pose" [b n 3 4], "camera_intrinsics" [b n 4], "origin_pose"
            [b n 3 4], "trajectory" [b p 3] of the first frame; some of them.
        first: The first frame.
        frames: Number of frames.
    """
    window = {}
    for name, values in conditions.items():
        if name == "trajectory":
            window[name] = values
            continue
        places = torch.arange(first, first + frames - (name == "action"))
        window[name] = values[:, places.clamp(max=values.shape[1] - 1)]
    return window


def count_frames(conditions: FrameConditions, default: int) -> int:
    """The number of frames that conditions [b n …] cover: the smallest of all; `default` of a trajectory."""
    of_frames = {name: values.shape[1] for name, values in conditions.items() if name != "trajectory"}
    return min((count + (name == "action") for name, count in of_frames.items()), default=default)


def encode_conditions(
    reader: ConditionReader, conditions: FrameConditions, size: tuple[int, int]
) -> Conditioning:
    """The conditioning of videos whose conditions are [b n …]."""
    count = len(next(iter(conditions.values())))
    try:
        every = [reader.encode({k: v[n] for k, v in conditions.items()}, size) for n in range(count)]
    except ValueError as error:
        raise SettingError(str(error)) from error
    return Conditioning(**{name: torch.stack([each[name] for each in every]) for name in every[0]})


def after_given_frames(conditions: FrameConditions, given: int) -> FrameConditions:
    """Conditions that begin with those of the given frames of a video, whose actions are unknown."""
    if given <= 1:
        return conditions
    if names := {"camera_pose", "trajectory"} & set(conditions):
        kind = "poses" if "camera_pose" in names else "trajectory"
        raise SettingError(
            f"the {kind} of the frames of a given video are not known", remedy="give an image instead"
        )
    if "action" not in conditions:
        return conditions
    action = conditions["action"]
    unknown = action.new_full((len(action), given - 1, action.shape[2]), torch.nan)
    return {**conditions, "action": torch.cat([unknown, action], 1)}


def requested_conditions(
    request: SamplingRequest, info: ModelInfo, size: tuple[int, int], frames: int
) -> dict[str, Tensor]:
    """The conditions that a request names, for each of its videos; {} if it names none.

    Args:
        request: What to sample.
        info: The model.
        size: Height and width of the video in px.
        frames: Frames of the video, if neither the request nor a file determines them.

    Raises:
        SettingError: The model does not read them, or a file or a name is wrong.
    """
    found: dict[str, Tensor] = {}
    spec = spec_of_conditions(info)
    if request.actions:
        if spec is None or spec.action is None:
            raise _not_read("actions", "action")
        found["action"] = read_actions(Path(request.actions), spec.action, spec.rate)
        frames = len(found["action"]) + 1
    if request.trajectory:
        if spec is None or spec.trajectory is None:
            raise _not_read("a trajectory", "trajectory")
        found["trajectory"] = read_trajectory(Path(request.trajectory), spec.trajectory)
    if request.camera_trajectory:
        if spec is None or spec.camera is None:
            raise _not_read("a camera trajectory", "camera")
        if Path(request.camera_trajectory).is_dir() and "rig" not in info.conditions:
            raise SettingError(
                "the model has one camera, and this is a folder",
                where=request.camera_trajectory,
                remedy="name a file of poses",
            )
        if not Path(request.camera_trajectory).is_dir():
            poses, intrinsics = _read_trajectory(request, spec.rate, size, request.num_frames or frames)
            if intrinsics is None:
                intrinsics = _intrinsics(request, info.conditions, size).expand(len(poses), 4)
            found |= {"camera_pose": poses, "camera_intrinsics": intrinsics}
    return {name: values.expand(len(request.prompt), *values.shape) for name, values in found.items()}


def _read_trajectory(
    request: SamplingRequest, rate: float, size: tuple[int, int], frames: int
) -> tuple[Tensor, Tensor | None]:
    if request.camera_trajectory not in TRAJECTORIES and Path(request.camera_trajectory).suffix:
        return read_camera(Path(request.camera_trajectory), rate, size)
    poses = camera_trajectory(
        request.camera_trajectory,
        frames,
        rate,
        request.camera_speed,
        request.camera_rotation_speed,
        request.camera_radius,
    )
    return poses, None


def _intrinsics(request: SamplingRequest, recorded: Mapping[str, Any], size: tuple[int, int]) -> Tensor:
    """fx, fy, cx, cy in px: of the field of view that is requested, or of the clips of the training."""
    height, width = size
    if not request.camera_fov:
        fx, fy, cx, cy = recorded["camera_intrinsics"]
        return torch.tensor([fx * width, fy * height, cx * width, cy * height], dtype=torch.float64)
    if request.camera_fov >= 180:
        raise SettingError(f"camera_fov is {request.camera_fov:g} degrees; it must be below 180")
    focal = width / 2 / math.tan(math.radians(request.camera_fov) / 2)
    return torch.tensor([focal, focal, width / 2, height / 2], dtype=torch.float64)


def _not_read(kind: str, name: str) -> SettingError:
    return SettingError(
        f"the model does not read {kind}", remedy=f"train one with conditions={name}, or leave them out"
    )
