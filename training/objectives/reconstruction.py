"""Reconstruction: a tokenizer gives back what it was given."""

from dataclasses import dataclass

from torch import Tensor, nn

from training.objective import Loss
from training.tensors import Video


@dataclass(frozen=True)
class Reconstruction:
    """Mean absolute error of values, and of the differences between neighbours in time, height and width.

    Differences make edges sharp, and those across the borders of patches make the borders vanish. The parts
    of its loss: "values", "differences" and "mse" (mean squared error of values in -1..1).

    Attributes:
        tokenizer: called with a video, gives (video, latents).
        differences: weight of the differences.
    """

    tokenizer: nn.Module
    differences: float = 0.5

    def __call__(self, batch: Video, step: int) -> Loss:
        guess, _ = self.tokenizer(batch)
        error = guess.float() - batch
        values = error.abs().mean()
        between = _between(error)
        parts = {"values": values, "differences": between, "mse": error.square().mean()}
        return Loss(values + self.differences * between, {k: v.detach() for k, v in parts.items()})


def _between(error: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, over the axes that have any."""
    along = [error.diff(dim=axis).abs().mean() for axis in (2, 3, 4) if error.shape[axis] > 1]
    return sum(along, error.new_zeros(())) / max(1, len(along))
