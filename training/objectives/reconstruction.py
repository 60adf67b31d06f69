"""The reconstruction objective: a tokenizer decodes the video that it encoded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from training.objective import Loss
from training.objectives.adversarial import generator_gradient
from training.tensors import Scalar, Video
from training.tokenizers.crops import CropBatch

Distance = Callable[[Video, Video], Scalar]  # of a reconstructed video from the video


@dataclass(frozen=True)
class Reconstruction:
    """A weighted sum of distances of the final output from the video, and optionally an adversarial loss.

    `Loss.parts` has the value of each distance, "mse", the mean squared error of values in -1..1, and
    "adversarial" and "adversarial_scale" in the adversarial stage.

    Attributes:
        tokenizer: Called with a video; returns (reconstructed video, latents).
        distances: (weight, distance) by name.
        discriminator: Scores of places of a video; None without an adversarial stage.
        adversarial_weight: Weight of the adversarial loss.
        adversarial_start: The step at which the adversarial stage starts.
        adaptive_weight: Whether the gradient of the adversarial loss is scaled to that of the distances.
        autocast: Dtype of the forward pass; None is that of the weights.
    """

    tokenizer: nn.Module
    distances: Mapping[str, tuple[float, Distance]]
    discriminator: nn.Module | None = None
    adversarial_weight: float = 0.0
    adversarial_start: int = 0
    adaptive_weight: bool = True
    autocast: torch.dtype | None = field(default=None)

    def __call__(self, batch: CropBatch, step: int) -> Loss:
        video = batch.videos
        with torch.autocast(video.device.type, self.autocast, enabled=self.autocast is not None):
            reconstruction, _ = self.tokenizer(video)
        reconstruction = reconstruction.float()
        values = {name: distance(reconstruction, video) for name, (_, distance) in self.distances.items()}
        total = sum(
            (weight * values[name] for name, (weight, _) in self.distances.items()),
            reconstruction.new_zeros(()),
        )
        parts = {name: value.detach() for name, value in values.items()}
        parts["mse"] = (reconstruction.detach() - video).square().mean()
        if self.discriminator is None or step < self.adversarial_start:
            return Loss(total, parts)
        gradient, losses, scale = generator_gradient(
            self.discriminator, reconstruction, total if self.adaptive_weight else None, self.autocast
        )
        scaled = scale.reshape(-1, 1, 1, 1, 1) * gradient
        linear = self.adversarial_weight * (scaled * reconstruction).sum()
        # The value is that of the loss; the gradient is the one computed above.
        total = total + linear - linear.detach() + self.adversarial_weight * (scale * losses).mean()
        return Loss(total, parts | {"adversarial": losses.mean(), "adversarial_scale": scale.mean()})


def l1_distance(reconstruction: Video, video: Video) -> Scalar:
    """Mean absolute error of values."""
    return (reconstruction - video).abs().mean()


def difference_distance(reconstruction: Video, video: Video) -> Scalar:
    """Mean absolute error of differences between neighbors, over the axes longer than 1.

    Differences make edges sharp. Differences across the borders of patches make the borders invisible.
    """
    error: Tensor = reconstruction - video
    per_axis = [error.diff(dim=axis).abs().mean() for axis in (2, 3, 4) if error.shape[axis] > 1]
    return sum(per_axis, error.new_zeros(())) / max(1, len(per_axis))
