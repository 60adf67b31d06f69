"""Sampling the views of several cameras: which ones, their text, and how their cameras move."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.conditions.condition_files import read_camera
from training.conditions.plucker import relative_poses
from training.conditions.reader import ORIGIN
from training.conditions.rig import move_rig
from training.conditions.spec import ConditionSpec
from training.diffusion.conditioning import Conditioning
from training.diffusion.views import join_conditioning
from training.errors import LayoutError, SettingError
from training.model import ModelInfo
from training.recipes.sampling_request import SamplingRequest


def cameras_of(info: ModelInfo) -> tuple[str, ...]:
    """The cameras of a model of several; () of another model."""
    return info.network.views


def chosen_views(request: SamplingRequest, info: ModelInfo, shares_tokens: bool = False) -> tuple[int, ...]:
    """The numbers of the cameras that are sampled together; () of a model of one camera.

    Args:
        request: What to sample.
        info: The metadata of the model.
        shares_tokens: Several ranks share the tokens of a clip.

    Raises:
        SettingError: The model has no such camera, or the prompts or images are not those of whole clips.
        LayoutError: Ranks share tokens.
    """
    cameras = cameras_of(info)
    names = tuple(request.views) or cameras
    if unknown := [name for name in names if name not in cameras]:
        raise SettingError(
            f"the model has no camera {unknown[0]!r}; its cameras: {', '.join(cameras) or 'one, unnamed'}",
            remedy="choose some of its cameras" if cameras else "leave views out",
        )
    if len(set(names)) < len(names):
        raise SettingError(f"views has a camera twice: {', '.join(names)}")
    if names and (not request.prompt or len(request.prompt) % len(names)):
        raise SettingError(
            f"there are {len(request.prompt)} prompts for clips of {len(names)} views: {', '.join(names)}",
            remedy="give one prompt for each view of each clip",
        )
    if names and (request.image or request.video):
        raise SettingError(
            "image and video begin a clip of one camera", remedy="set images, with one for each view"
        )
    if len(request.images) not in (0, len(names)):
        raise SettingError(f"there are {len(request.images)} images for {len(names)} views")
    if names and shares_tokens:
        raise LayoutError(
            "several ranks cannot share the tokens of a clip of several cameras",
            remedy="sample on one rank",
        )
    return tuple(cameras.index(name) for name in names)


def prompts_of_views(prompts: Sequence[str], views: Sequence[str], clips: int) -> list[str]:
    """The prompt of each view of each clip, from one for all views or one for each.

    Raises:
        SettingError: There is another number of prompts.
    """
    if len(prompts) not in (1, max(1, len(views))):
        raise SettingError(
            f"there are {len(prompts)} prompts for {len(views) or 1} views"
            + (f": {', '.join(views)}" if views else ""),
            remedy="give one prompt for all views, or one for each" if views else "give one prompt",
        )
    of_clip = list(prompts) if len(prompts) > 1 else [prompts[0]] * max(1, len(views))
    return of_clip * clips


def join_requested(conditioning: Conditioning, views: Sequence[int]) -> Conditioning:
    """The conditioning of whole clips from that of each entry of the prompt; as it is for one camera."""
    if not views:
        return conditioning
    assert conditioning.fps is not None
    indices = torch.tensor(views, device=conditioning.fps.device)
    return join_conditioning(conditioning, indices.repeat(len(conditioning.fps) // len(views), 1))


def requested_cameras(
    request: SamplingRequest,
    info: ModelInfo,
    spec: ConditionSpec | None,
    size: tuple[int, int],
    first: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The poses, intrinsics and poses of the first camera, of each entry of the prompt.

    Args:
        request: With a camera trajectory.
        info: The metadata of the model, with its rig.
        spec: The conditions of the model.
        size: Height and width of the videos in px.
        first: "camera_pose" [b n 3 4] of the first camera, unless the trajectory is a folder.

    Raises:
        SettingError: A file cannot be read, or files have different lengths.
    """
    cameras = cameras_of(info)
    names, folder = tuple(request.views) or cameras, Path(request.camera_trajectory)
    if request.camera_fov:
        raise SettingError(
            "camera_fov is that of one camera, and the model has several", remedy="leave camera_fov out"
        )
    if folder.is_dir():
        assert spec is not None
        read = {name: _read_camera(folder, name, spec.rate, size) for name in {cameras[0], *names}}
        if len(lengths := {len(poses) for poses, _ in read.values()}) > 1:
            raise SettingError(f"the cameras have {sorted(lengths)} poses", where=str(folder))
        origin = read[cameras[0]][0]
        poses = [read[name][0] for name in names]
        intrinsics = [read[name][1] for name in names]
    else:
        origin, rig = relative_poses(first["camera_pose"][0]), info.conditions["rig"]
        poses = [move_rig(origin, rig[name]) for name in names]
        sides = torch.tensor([size[1], size[0], size[1], size[0]], dtype=torch.float64)
        shares = [torch.tensor(rig[name]["intrinsics"], dtype=torch.float64) for name in names]
        intrinsics = [(share * sides).expand(len(origin), 4) for share in shares]
    clips = len(request.prompt) // len(names)
    return {
        "camera_pose": torch.stack(poses).repeat(clips, 1, 1, 1),
        "camera_intrinsics": torch.stack(intrinsics).repeat(clips, 1, 1),
        ORIGIN: origin.expand(len(request.prompt), *origin.shape),
    }


def _read_camera(folder: Path, name: str, rate: float, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    file = folder / f"{name}.conditions.parquet"
    poses, intrinsics = read_camera(file, rate, size)
    if intrinsics is None:
        raise SettingError("the file does not state the size of the frames", where=str(file))
    return poses, intrinsics
