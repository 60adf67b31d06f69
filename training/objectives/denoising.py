"""The denoising objective: predict the clean latents from noisy ones, at random timesteps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import torch
from torch import Tensor

from training.data.batches import LatentBatch as StoredBatch
from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.generation_mode import GENERATION_MODES
from training.diffusion.loss_weight import LossWeight
from training.diffusion.path import Path, add_noise
from training.diffusion.timestep_sampler import TimestepSampler
from training.diffusion.views import num_views, select_views
from training.noise import normal, uniform
from training.objective import Loss
from training.objectives.given_frames import draw_given_frames, given_mask
from training.tensors import Coefficient, Latents, Timestep
from training.text_encoder import TextEncoder, add_text
from training.tokenizers.code_latents import CodeLatents

NUM_NOISE_LEVELS = 5  # bins of the share of noise, sigma / (alpha + sigma)


class DrawNormal(Protocol):
    """Draws standard normal numbers, float32 [len(positions), *shape], as `training.noise.normal` does."""

    def __call__(
        self,
        seed: int,
        purpose: str,
        positions: Sequence[int],
        shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
    ) -> Tensor: ...


class LatentBatch(Protocol):
    """A batch: of each clip its position in the stream, latents [b c t h w], caption and conditioning."""

    @property
    def positions(self) -> Sequence[int]: ...
    @property
    def latents(self) -> Latents: ...
    @property
    def captions(self) -> Sequence[str]: ...
    @property
    def conditioning(self) -> Conditioning: ...


@dataclass(frozen=True)
class Denoising:
    """Weighted mean squared error of the clean prediction, over the generated latents of each clip.

    `Loss.parts` has "clean_mse", the mean squared error of the clean prediction (1 for a prediction of
    zeros), and with an uncertainty head "weighted_mse", the loss without the terms of the head. With the head
    the loss may be negative. `Loss.groups` has the weighted loss, without the terms of the head, by noise
    level (share of noise, sigma / (alpha + sigma)), by kind (image, video) and by mode. All random numbers
    depend only on the seed and on the positions of the clips.

    Attributes:
        denoiser: The model that is trained.
        path: The noise path. It must be the one that the denoiser assumes.
        loss_weight: The weight of the squared error at a timestep.
        timestep_sampler: Distribution of the timesteps.
        text_encoder: Encodes the captions of batches that have no text embeddings. None uses no text.
        text_dropout: Share of clips that lose their text, for classifier-free guidance.
        code_latents: Then the differences to the latents of the decoded codes are denoised.
        code_dropout: Share of clips that lose their codes, for guidance.
        action_dropout: Share of clips that lose their actions.
        camera_dropout: Share of clips that lose their camera.
        trajectory_dropout: Share of clips that lose their trajectory.
        view_dropout: Share of the steps that train on some of the views of each clip.
        conditional_frames: Probability of each number of latent frames that are given at the start of a
            video; numbers that leave no frame to generate are not drawn. 0 is text-to-video, 1
            image-to-video.
        condition_timestep: Timestep of given latents that the denoiser is called with.
        condition_timestep_sampler: Distribution of the timesteps of the noise that is added to given latents,
            as in Cosmos-Predict1. None adds none: the given latents are clean, as in Cosmos-Predict2.5.
        uncertainty: u: maps timesteps [b] to the logarithm of the expected loss [b]. The loss is
            then loss e^-u + u. Source: Karras et al. 2024, arXiv:2312.02696, Eq. 21.
        loss_scale: Factor of the loss.
        image_loss_scale: Further factor of the loss of images: batches of one latent frame.
        seed: Seed of all random numbers.
        draw_normal: Draws noise: `training.noise.normal`, or a function that shares the work among ranks.
    """

    denoiser: Denoiser
    path: Path
    loss_weight: LossWeight
    timestep_sampler: TimestepSampler
    text_encoder: TextEncoder | None = None
    text_dropout: float = 0.1
    code_latents: CodeLatents | None = None
    code_dropout: float = 0.0
    action_dropout: float = 0.0
    camera_dropout: float = 0.0
    trajectory_dropout: float = 0.0
    view_dropout: float = 0.0
    conditional_frames: Mapping[int, float] = field(default_factory=lambda: {0: 1.0})
    condition_timestep: float = 0.0
    condition_timestep_sampler: TimestepSampler | None = None
    uncertainty: Callable[[Timestep], Tensor] | None = None
    loss_scale: float = 1.0
    image_loss_scale: float = 1.0
    seed: int = 0
    draw_normal: DrawNormal = normal

    def __call__(self, batch: LatentBatch, step: int) -> Loss:
        if self.code_latents is not None:
            batch = self.code_latents.to_differences(cast("StoredBatch", batch))
        batch = self._drop_views(batch, step)
        clean, positions = batch.latents, batch.positions
        t = self._timesteps(self.timestep_sampler, "timestep", batch)
        noise = self.draw_normal(self.seed, "noise", positions, clean.shape[1:], device=clean.device)
        conditioning = self._conditioning(batch)
        noisy = add_noise(self.path, clean, noise, t)
        target = self._target(clean, noisy, t, conditioning)
        prediction = self.denoiser(noisy, t, conditioning)
        error = mean_of_generated((prediction - target).square(), conditioning.condition_mask)
        weighted = self.loss_weight(t) * error
        groups = self._groups(weighted.detach(), t, conditioning, clean.shape[2] // num_views(conditioning))
        parts = {"clean_mse": error.mean().detach()}
        loss = weighted.mean()
        if self.uncertainty is not None:
            parts["weighted_mse"] = loss.detach()
            log_variance = self.uncertainty(t)
            loss = (weighted * torch.exp(-log_variance) + log_variance).mean()
        is_image = clean.shape[2] == num_views(conditioning)
        scale = self.loss_scale * (self.image_loss_scale if is_image else 1.0)
        return Loss(scale * loss, parts, groups)

    def _target(self, clean: Latents, noisy: Latents, t: Timestep, conditioning: Conditioning) -> Latents:
        """What the clean prediction is compared with."""
        return clean

    def _groups(
        self, losses: Tensor, t: Timestep, conditioning: Conditioning, latent_frames: int
    ) -> dict[str, Tensor]:
        """The sum and the count of the losses [b] of each noise level, kind and mode."""
        alpha, sigma = (
            each.reshape(len(losses), -1).mean(1) for each in (self.path.alpha(t), self.path.sigma(t))
        )
        levels = (sigma / (alpha + sigma) * NUM_NOISE_LEVELS).long().clamp(0, NUM_NOISE_LEVELS - 1)
        given = torch.zeros(len(losses), device=losses.device)
        if conditioning.condition_mask is not None:
            given = conditioning.condition_mask.amax((1, 3, 4)).sum(1) / num_views(conditioning)
        members = {
            f"loss_by_timestep/{(n + 0.5) / NUM_NOISE_LEVELS:.1f}": levels == n
            for n in range(NUM_NOISE_LEVELS)
        }
        is_image = torch.full_like(levels, latent_frames == 1).bool()
        members |= {"loss_by_kind/image": is_image, "loss_by_kind/video": ~is_image}
        mode_numbers = torch.where(is_image, 0, 1 + given.clamp(max=2).long())
        members |= {f"loss_by_mode/{mode}": mode_numbers == n for n, mode in enumerate(GENERATION_MODES)}
        return {
            name: torch.stack([torch.where(which, losses, 0).sum(), which.sum()])
            for name, which in members.items()
        }

    def _drop_views(self, batch: LatentBatch, step: int) -> LatentBatch:
        """The batch with some of the views of each clip: as many in all clips of a step, on all ranks."""
        views = num_views(batch.conditioning)
        dropped, share = uniform(self.seed, "view dropout", [step], (2,))[0].tolist()
        if views == 1 or dropped >= self.view_dropout:
            return batch
        count = 1 + int(share * (views - 1))
        chosen = uniform(self.seed, "views", batch.positions, (views,)).argsort(1)[:, :count].sort(1).values
        latents, conditioning, rows = select_views(batch.latents, batch.conditioning, chosen)
        captions = tuple(batch.captions[row] for row in rows)
        stored = cast("StoredBatch", batch)
        return stored._replace(latents=latents, conditioning=conditioning, captions=captions)

    def _timesteps(self, sampler: TimestepSampler, purpose: str, batch: LatentBatch) -> Timestep:
        numbers = uniform(self.seed, purpose, batch.positions)
        return sampler(numbers, batch.latents.shape[1:]).to(batch.latents.device)

    def _conditioning(self, batch: LatentBatch) -> Conditioning:
        conditioning = add_text(batch.conditioning, self.text_encoder, batch.captions, batch.latents.device)
        views = num_views(conditioning)
        numbers = uniform(self.seed, "text dropout", batch.positions, (views,) if views > 1 else ())
        conditioning = conditioning.without_text(numbers < self.text_dropout)
        if self.code_dropout:
            drop = uniform(self.seed, "code dropout", batch.positions) < self.code_dropout
            conditioning = conditioning.without_codes(drop)
        if self.action_dropout:
            drop = uniform(self.seed, "action dropout", batch.positions) < self.action_dropout
            conditioning = conditioning.without_action(drop)
        if self.camera_dropout:
            drop = uniform(self.seed, "camera dropout", batch.positions) < self.camera_dropout
            conditioning = conditioning.without_camera(drop)
        if self.trajectory_dropout:
            drop = uniform(self.seed, "trajectory dropout", batch.positions) < self.trajectory_dropout
            conditioning = conditioning.without_trajectory(drop)
        if set(self.conditional_frames) == {0}:
            return conditioning
        given = batch.latents
        t_given = torch.full((len(given),), self.condition_timestep, device=given.device)
        if self.condition_timestep_sampler is not None:
            t_given = self._timesteps(self.condition_timestep_sampler, "condition timestep", batch)
            noise = self.draw_normal(
                self.seed, "condition noise", batch.positions, given.shape[1:], device=given.device
            )
            given = add_noise(self.path, given, noise, t_given)
        return replace(
            conditioning,
            condition_mask=self._condition_mask(batch),
            condition_latents=given,
            condition_timestep=t_given,
        )

    def _condition_mask(self, batch: LatentBatch) -> Tensor:
        """1 for the first latent frames of each clip, whose number is drawn; [b 1 t h w]."""
        views = num_views(batch.conditioning)
        frames = batch.latents.shape[2] // views
        chosen = draw_given_frames(self.conditional_frames, frames, self.seed, batch.positions)
        return given_mask(batch.latents.shape, chosen.to(batch.latents.device), views)


def mean_of_generated(squared_error: Tensor, condition_mask: Tensor | None) -> Coefficient:
    """The mean over the latents of each clip that are not given, [b]."""
    if condition_mask is None:
        return squared_error.flatten(1).mean(1)
    generated = (1 - condition_mask).expand_as(squared_error)
    return (squared_error * generated).flatten(1).sum(1) / generated.flatten(1).sum(1)
