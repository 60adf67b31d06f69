"""The reconstruction objective: a tokenizer decodes the video that it encoded."""

from dataclasses import dataclass

from torch import Tensor, nn

from training.objective import Loss
from training.tensors import Video


@dataclass(frozen=True)
class Reconstruction:
    """Mean absolute error of values, and of differences between neighbors in time, height and width.

    Differences make edges sharp. Differences across the borders of patches make the borders invisible.
    `Loss.parts` has "values", "differences" and "mse", the mean squared error of values in -1..1.

    Attributes:
        tokenizer: Called with a video; returns (reconstructed video, latents).
        difference_weight: Weight of the differences.
    """

    tokenizer: nn.Module
    difference_weight: float = 0.5

    def __call__(self, batch: Video, step: int) -> Loss:
        reconstruction, _ = self.tokenizer(batch)
        error = reconstruction.float() - batch
        values = error.abs().mean()
        differences = _neighbor_differences(error)
        parts = {"values": values, "differences": differences, "mse": error.square().mean()}
        total = values + self.difference_weight * differences
        return Loss(total, {name: value.detach() for name, value in parts.items()})


def _neighbor_differences(error: Tensor) -> Tensor:
    """Mean absolute difference between neighbors, over the axes longer than 1."""
    per_axis = [error.diff(dim=axis).abs().mean() for axis in (2, 3, 4) if error.shape[axis] > 1]
    return sum(per_axis, error.new_zeros(())) / max(1, len(per_axis))
