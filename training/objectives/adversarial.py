"""The adversarial losses of a tokenizer: hinge losses, and an approximation of the R1 penalty.

Sources: Lim & Ye 2017, arXiv:1705.02894 (hinge); Lin et al. 2025, arXiv:2501.08316 (approximated
R1, which needs no second derivative and so works with FSDP); Esser et al. 2021, arXiv:2012.09841 (the
weight of the adversarial loss from norms of gradients); Defossez et al. 2022, arXiv:2210.13438
(norms of the gradients at the output of the network).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.noise import normal
from training.objective import Loss
from training.tensors import Scalar, Video
from training.tokenizers.crops import CropBatch

MAX_SCALE = 1e4


@dataclass(frozen=True)
class Adversarial:
    """The loss of the discriminator: it tells videos from reconstructed videos.

    `Loss.parts` has "real" and "reconstructed", the mean scores, and "r1", the
    penalty: the mean squared change of the scores by noise.

    Attributes:
        tokenizer: Called with a video; returns (reconstructed video, latents). It gets no gradient.
        discriminator: Scores of places of a video.
        r1_weight: Weight of the penalty. `r1_weight` * `r1_sigma`² weighs the squared norm of the gradient.
        r1_sigma: Standard deviation of the noise of the penalty, of values in -1..1.
        seed: Seed of the noise.
        autocast: Dtype of the forward pass; None is that of the weights.
    """

    tokenizer: nn.Module
    discriminator: nn.Module
    r1_weight: float = 100.0
    r1_sigma: float = 0.01
    seed: int = 0
    autocast: torch.dtype | None = None

    def __call__(self, batch: CropBatch, step: int) -> Loss:
        video = batch.videos
        with torch.autocast(video.device.type, self.autocast, enabled=self.autocast is not None):
            with torch.no_grad():
                reconstruction, _ = self.tokenizer(video)
            inputs = [video, reconstruction.to(video.dtype)]
            if self.r1_weight:
                noise = normal(self.seed, "r1", batch.positions, tuple(video.shape[1:]), device=video.device)
                inputs.append(video + self.r1_sigma * noise)
            scores = self.discriminator(torch.cat(inputs)).float().chunk(len(inputs))
        real, reconstructed = scores[0], scores[1]
        total = (1 - real).relu().mean() + (1 + reconstructed).relu().mean()
        parts = {"real": real.detach().mean(), "reconstructed": reconstructed.detach().mean()}
        if self.r1_weight:
            r1 = (scores[2] - real).square().mean()
            total = total + self.r1_weight * r1
            parts["r1"] = r1.detach()
        return Loss(total, parts)


def generator_gradient(
    discriminator: nn.Module, reconstruction: Video, distance: Scalar | None, autocast: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of the hinge loss of the tokenizer, -mean(score), at reconstructed videos.

    The parameters of the discriminator get no gradient.

    Args:
        discriminator: Scores of places of a video.
        reconstruction: The reconstructed videos.
        distance: The other losses, a function of the videos; None: the scale is 1.
        autocast: Dtype of the forward pass; None is that of the weights.

    Returns:
        The gradient; the loss of each video, [b]; the scale of each, [b], which gives its gradient the norm
        of that of `distance`. It is one of each video, so it does not depend on the ranks.
    """
    leaf = reconstruction.detach().requires_grad_(True)
    with torch.autocast(leaf.device.type, autocast, enabled=autocast is not None):
        losses = -discriminator(leaf).float().flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(losses.mean(), leaf)
    scale = torch.ones_like(losses)
    if distance is not None:
        (of_distance,) = torch.autograd.grad(distance, reconstruction, retain_graph=True)
        norms = [each.flatten(1).norm(dim=1) for each in (of_distance, gradient)]
        scale = (norms[0] / norms[1].clamp(min=1e-12)).clamp(max=MAX_SCALE)
    return gradient, losses.detach(), scale.detach()
