"""The contract of a model of the dynamics: it predicts what is observed after each of some actions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""The cost [n] of predicted observations [n h ...]; a planner looks for the actions of the lowest one."""


@dataclass(frozen=True)
class History:
    """What was observed, and the actions in between: action i leads from observation i to observation i + 1.

    Attributes:
        observations: [k ...], the newest last; images are uint8 [k h w 3].
        actions: [k-1 a].
    """

    observations: Tensor
    actions: Tensor

    def __post_init__(self) -> None:
        if len(self.observations) != len(self.actions) + 1:
            raise ValueError(
                f"{len(self.observations)} observations have one action less between them, not"
                f" {len(self.actions)}"
            )

    def after(self, action: Tensor, observation: Tensor) -> "History":
        """The history with one more action [a] and the observation [...] after it."""
        return History(
            torch.cat([self.observations, observation[None]]), torch.cat([self.actions, action[None]])
        )


class Dynamics(Protocol):
    """Predicts observations. A world model is one, and the true simulator is another."""

    def predict(self, histories: Sequence[History], actions: Tensor) -> Tensor:
        """The observations after each action.

        Args:
            histories: What was observed before: one history for all sequences, or one for each.
            actions: [n h a]: n sequences of h actions, each of which begins after its history.

        Returns:
            [n h ...]; observation i of a sequence is the one that its action i leads to.
        """
        ...
