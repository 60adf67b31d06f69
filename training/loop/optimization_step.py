"""A turn: one objective and the optimizer that makes it small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from torch.optim import Optimizer

from training.objective import Batch, Objective


@dataclass(frozen=True)
class OptimizationStep(Generic[Batch]):
    """Diffusion has one turn; an adversarial tokenizer has two.

    Attributes:
        objective: what is to become small.
        optimizer: over the parameters that this turn may change.
        rate: learning rate at a step.
        every: the turn is taken at steps that this divides.
        clip: largest norm of the gradient; longer ones are shortened. 0 clips none.
    """

    objective: Objective[Batch]
    optimizer: Optimizer
    rate: Callable[[int], float]
    every: int = 1
    clip: float = 1.0
