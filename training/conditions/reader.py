"""Reads the conditions of a clip from its shard.

A stored clip of n frames is a safetensors file: "action" [n-1 a], "camera_pose" [n 3 4] and
"camera_intrinsics" [n 4] (fx, fy, cx, cy in px of the encoded frames) and "trajectory" [p 3] (places after
the first frame), float32, each only if there is one. A recording has a file for each camera.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load
from torch import Tensor

from training.conditions.actions import encode_actions
from training.conditions.places import encode_trajectory
from training.conditions.plucker import encode_camera
from training.conditions.spec import ConditionSpec

CONDITIONS_SUFFIX = ".conditions.safetensors"
ORIGIN = "origin_pose"  # [n 3 4], of the camera of a recording in whose coordinates rays are
FrameConditions = Mapping[str, Tensor]  # the stored tensors of a clip, by name


@dataclass(frozen=True)
class ConditionReader:
    """Turns the stored conditions of clips into those of `Conditioning`.

    Attributes:
        spec: What they mean.
        stride: Frames and pixels per latent along t, h, w.
    """

    spec: ConditionSpec
    stride: tuple[int, int, int]

    def read(
        self, data: Sequence[bytes], latent_shape: tuple[int, ...], max_frames: int
    ) -> dict[str, Tensor]:
        """The fields of `Conditioning` of one clip, without the axis of the batch.

        Rays of several views follow each other; actions and trajectory are those of the first.

        Args:
            data: The stored file of each view.
            latent_shape: Latents [c t h w] of one view of the whole clip.
            max_frames: Latent frames that the clip is cropped to, from the start.

        Raises:
            ValueError: A tensor is missing, or has not the length of the clip, or values that cannot be.
        """
        frames = 1 + (latent_shape[1] - 1) * self.stride[0]
        kept = 1 + (min(max_frames, latent_shape[1]) - 1) * self.stride[0]
        lengths = {"action": kept - 1, "camera_pose": kept, "camera_intrinsics": kept}
        views: list[dict[str, Tensor]] = []
        for file in data:
            stored = self._checked(load(file), frames)
            views.append({name: each[: lengths.get(name)] for name, each in stored.items()})
        if len(views) > 1 and self.spec.camera:
            views = [view | {ORIGIN: views[0]["camera_pose"]} for view in views]
        encoded = [self.encode(view, (latent_shape[2], latent_shape[3])) for view in views]
        if len(views) > 1 and self.spec.camera:
            encoded[0]["camera"] = torch.cat([each["camera"] for each in encoded], 1)
        return encoded[0]

    def encode(self, conditions: FrameConditions, size: tuple[int, int]) -> dict[str, Tensor]:
        """The fields of `Conditioning` from the raw conditions of 1 + k * stride frames.

        Args:
            conditions: As stored; those that are missing are unknown.
            size: Latents along height and width.

        Raises:
            ValueError: Values cannot be, or shapes do not fit.
        """
        fields: dict[str, Tensor] = {}
        if self.spec.action is not None and "action" in conditions:
            grouped = encode_actions(conditions["action"], self.spec.action, self.stride[0])
            fields["action"], fields["action_mask"] = grouped
        if self.spec.camera is not None and "camera_pose" in conditions:
            pose, intrinsics = conditions["camera_pose"], conditions["camera_intrinsics"]
            fields["camera"] = encode_camera(
                pose, intrinsics, self.spec.camera.scale, size, self.stride, conditions.get(ORIGIN)
            )
        if self.spec.trajectory is not None and "trajectory" in conditions:
            fields["trajectory"] = encode_trajectory(conditions["trajectory"], self.spec.trajectory)
        return fields

    def _checked(self, stored: Mapping[str, Tensor], frames: int) -> dict[str, Tensor]:
        """The stored tensors that the spec needs, of the length of the clip."""
        lengths = {"action": frames - 1} if self.spec.action else {}
        lengths |= {"camera_pose": frames, "camera_intrinsics": frames} if self.spec.camera else {}
        lengths |= {"trajectory": self.spec.trajectory.points} if self.spec.trajectory else {}
        for name, length in lengths.items():
            if name not in stored:
                raise ValueError(f"the clip has no {name}")
            if len(stored[name]) != length:
                raise ValueError(
                    f"the clip of {frames} frames needs {length} rows of {name}; it has {len(stored[name])}"
                )
        if self.spec.action and not bool(stored["action"].isfinite().all()):
            raise ValueError("an action has a value that is not finite (NaN or infinity)")
        return {name: stored[name] for name in lengths}
