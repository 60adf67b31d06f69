"""What a denoiser may know besides the noisy latents."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.tensors import Latents, TextEmbeddings, TextMask, Timestep


@dataclass(frozen=True)
class Conditioning:
    """The conditioning of a batch. Each field is None, or a tensor whose first axis is the batch.

    Clips of several cameras have `view_indices`. Then the v views of a clip follow each other in the frames
    of latents, masks and rays, which are v * t, and text has one more axis for them.

    Attributes:
        text_embeddings: Embeddings of the caption, [b n d] or [b v n d]. Padding, and a clip without text,
            are zeros.
        text_mask: 1 for each token of the caption and 0 for padding, [b n] or [b v n].
        fps: Frames per second of the clip before the tokenizer, [b].
        padding_mask: 1 where the frame is padding and 0 where it is video, [b 1 h w], in latents.
        condition_mask: 1 for each latent that is given and 0 for each that is generated, [b 1 t h w].
        condition_latents: The given latents, [b c t h w]; values where `condition_mask` is 0 have no effect.
        condition_timestep: Timestep of `condition_latents`, [b]; it is small, because they are almost clean.
        action: Actions that lead to each latent frame, normalized, [b t a]: all those of its frames.
        action_mask: 1 for each latent frame whose actions are known, [b t]; others are zeros in `action`.
            None: all but the first are known.
        camera: Pluecker rays (d, m) of the camera at each latent, [b 6 t h w]; zeros where none is known.
        trajectory: Places of the car in the time after the first frame, scaled, [b p]: x, y, z of each point.
        trajectory_mask: 1 for each clip whose trajectory is known, [b]. None: all are.
        view_indices: Number of the camera of each view of a clip, [b v], among those of the model. None:
            clips of one camera.
        codes: Codes of the clip by a discrete tokenizer, [b t h w], int64; -1 is no code. Height and width of
            the latents are multiples of theirs.
        code_latents: Latents of the video that the discrete tokenizer decodes from `codes`, [b c t h w].
            Then the clean latents are the difference to them; see `training.tokenizers.code_latents`.
    """

    text_embeddings: TextEmbeddings | None = None
    text_mask: TextMask | None = None
    fps: Tensor | None = None
    padding_mask: Tensor | None = None
    condition_mask: Tensor | None = None
    condition_latents: Latents | None = None
    condition_timestep: Timestep | None = None
    action: Tensor | None = None
    action_mask: Tensor | None = None
    camera: Tensor | None = None
    trajectory: Tensor | None = None
    trajectory_mask: Tensor | None = None
    view_indices: Tensor | None = None
    codes: Tensor | None = None
    code_latents: Latents | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Conditioning":
        """Apply a function to each tensor, for example to move it to a device or to select clips."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Conditioning(**{k: None if v is None else function(v) for k, v in values.items()})

    def last_given(self) -> Latents | None:
        """The last given latent frame of each clip, [b c 1 h w]; zeros where none is given.

        None if nothing is given. A frame is given if all its latents are.
        """
        found = self._last_given(self.condition_latents)
        return None if found is None else found[0].masked_fill(~found[1], 0)

    def last_given_camera(self) -> Tensor | None:
        """The rays of the last given latent frame of each clip, [b 6 1 h w]; zeros where none is given.

        None without a camera, or if nothing is given.
        """
        found = self._last_given(self.camera)
        return None if found is None else found[0].masked_fill(~found[1], 0)

    def camera_motion(self) -> Tensor | None:
        """The rays less those of the last given latent frame, [b 6 t h w]; zeros where none is given.

        None without a camera.
        """
        if self.camera is None:
            return None
        found = self._last_given(self.camera)
        if found is None:
            return torch.zeros_like(self.camera)
        return (self.camera - found[0]).masked_fill(~found[1], 0)

    def _last_given(self, values: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """`values` [b c t h w] at the last given frame, [b c 1 h w], and if there is one, [b 1 1 1 1]."""
        if self.condition_mask is None or values is None:
            return None
        is_given = self.condition_mask.amin((1, 3, 4)).bool()  # [b t]
        numbers = torch.arange(1, is_given.shape[1] + 1, device=is_given.device)
        last = (is_given * numbers).amax(1)
        clips = torch.arange(len(last), device=last.device)
        frames = values.float()[clips, :, (last - 1).clamp(min=0)]
        return frames[:, :, None], (last > 0)[:, None, None, None, None]

    def without_text(self, which: Tensor | None = None) -> "Conditioning":
        """Replace the text of the clips that `which` (bool) selects, or of all, by no text: zeros.

        Args:
            which: [b], or [b v] of the views of several cameras.
        """
        if self.text_embeddings is None:
            return self
        size = self.text_embeddings.shape[:-2]
        dropped = torch.ones(size, dtype=torch.bool) if which is None else which
        dropped = dropped.to(self.text_embeddings.device).reshape(
            *dropped.shape, *[1] * (len(size) - dropped.dim())
        )
        embeddings = self.text_embeddings.masked_fill(dropped[..., None, None], 0)
        mask = None if self.text_mask is None else self.text_mask.masked_fill(dropped[..., None], 0)
        return replace(self, text_embeddings=embeddings, text_mask=mask)

    def without_codes(self, which: Tensor | None = None) -> "Conditioning":
        """Replace the codes of the clips that `which` [b] (bool) selects, or of all, by no code and zeros."""
        if self.codes is None:
            return self
        dropped = torch.ones(len(self.codes), dtype=torch.bool) if which is None else which
        dropped = dropped.to(self.codes.device)[:, None, None, None]
        latents = self.code_latents
        return replace(
            self,
            codes=self.codes.masked_fill(dropped, -1),
            code_latents=None if latents is None else latents.masked_fill(dropped[..., None], 0),
        )

    def without_action(self, which: Tensor | None = None) -> "Conditioning":
        """Replace the actions of the clips that `which` [b] (bool) selects, or of all, by unknown ones."""
        if self.action is None:
            return self
        mask = self.action_mask
        if mask is None:
            mask = (torch.arange(self.action.shape[1]) > 0).to(self.action).expand(self.action.shape[:2])
        dropped = torch.ones(len(mask), dtype=torch.bool) if which is None else which
        dropped = dropped.to(mask.device)
        action = self.action.masked_fill(dropped[:, None, None], 0)
        return replace(self, action=action, action_mask=mask.masked_fill(dropped[:, None], 0))

    def without_camera(self, which: Tensor | None = None) -> "Conditioning":
        """Replace the rays of the clips that `which` [b] (bool) selects, or of all, by zeros: unknown."""
        if self.camera is None:
            return self
        dropped = torch.ones(len(self.camera), dtype=torch.bool) if which is None else which
        dropped = dropped.to(self.camera.device)[:, None, None, None, None]
        return replace(self, camera=self.camera.masked_fill(dropped, 0))

    def without_trajectory(self, which: Tensor | None = None) -> "Conditioning":
        """Replace the trajectory of the clips that `which` [b] (bool) selects, or of all, by none."""
        if self.trajectory is None:
            return self
        mask = self.trajectory_mask
        mask = self.trajectory.new_ones(len(self.trajectory)) if mask is None else mask
        dropped = torch.ones(len(mask), dtype=torch.bool) if which is None else which
        return replace(self, trajectory_mask=mask.masked_fill(dropped.to(mask.device), 0))
