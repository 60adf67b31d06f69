"""An optimization step: one objective, and the optimizer that minimizes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from torch.optim import Optimizer

from training.objective import Batch, Objective


@dataclass(frozen=True)
class OptimizationStep(Generic[Batch]):
    """Diffusion has one per training step; an adversarial tokenizer has two.

    Attributes:
        objective: The loss to minimize.
        optimizer: Over the parameters that this optimization step changes.
        lr: Learning rate as a function of the training step.
        interval: The optimization step runs at training steps that are multiples of this.
        first_step: The first training step at which it runs.
        max_grad_norm: Gradients with a larger norm are clipped to it. 0 clips none.
        updates: Updates in a training step. The objective is called with the same batch and step for each.
        name: Prefix of its metrics, such as "discriminator" for "discriminator/loss". A training with several
            optimization steps gives each another name, and one of them "".
    """

    objective: Objective[Batch]
    optimizer: Optimizer
    lr: Callable[[int], float]
    interval: int = 1
    first_step: int = 0
    max_grad_norm: float = 1.0
    updates: int = 1
    name: str = ""

    def runs_at(self, step: int) -> bool:
        """Whether it runs at a training step 0, 1, …"""
        return step >= self.first_step and step % self.interval == 0
