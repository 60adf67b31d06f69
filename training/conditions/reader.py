"""Reads the conditions of a clip from its shard.

A stored clip of n frames is a safetensors file: "action" [n-1 a], "camera_pose" [n 3 4] and
"camera_intrinsics" [n 4] (fx, fy, cx, cy in px of the encoded frames), float32, each only if there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from safetensors.torch import load
from torch import Tensor

from training.conditions.actions import encode_actions
from training.conditions.plucker import encode_camera
from training.conditions.spec import ConditionSpec

CONDITIONS_SUFFIX = ".conditions.safetensors"
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

    def read(self, data: bytes, latent_shape: tuple[int, ...], max_frames: int) -> dict[str, Tensor]:
        """The fields of `Conditioning` of one clip, without the axis of the batch.

        Args:
            data: The stored file.
            latent_shape: Latents [c t h w] of the whole clip.
            max_frames: Latent frames that the clip is cropped to, from the start.

        Raises:
            ValueError: A tensor is missing, or has not the length of the clip, or values that cannot be.
        """
        frames = 1 + (latent_shape[1] - 1) * self.stride[0]
        stored = self._checked(load(data), frames)
        kept = 1 + (min(max_frames, latent_shape[1]) - 1) * self.stride[0]
        cropped = {name: each[: kept - 1 if name == "action" else kept] for name, each in stored.items()}
        return self.encode(cropped, (latent_shape[2], latent_shape[3]))

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
            fields["camera"] = encode_camera(pose, intrinsics, self.spec.camera.scale, size, self.stride)
        return fields

    def _checked(self, stored: Mapping[str, Tensor], frames: int) -> dict[str, Tensor]:
        """The stored tensors that the spec needs, of the length of the clip."""
        lengths = {"action": frames - 1} if self.spec.action else {}
        lengths |= {"camera_pose": frames, "camera_intrinsics": frames} if self.spec.camera else {}
        for name, length in lengths.items():
            if name not in stored:
                raise ValueError(f"the clip has no {name}")
            if len(stored[name]) != length:
                raise ValueError(
                    f"the clip has {frames} frames, which need {length} rows of {name}; it has"
                    f" {len(stored[name])}"
                )
        if self.spec.action and not bool(stored["action"].isfinite().all()):
            raise ValueError("an action has a value that is not finite (NaN or infinity)")
        return {name: stored[name] for name in lengths}
