"""The push task as an environment of closed loops, and the true simulator as a model of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from stages.simulation.push_policy import PushPolicy
from stages.simulation.push_task import PushTask, is_solved
from training.control.dynamics import History

if TYPE_CHECKING:
    from torch import Tensor

ACTION_SIZE = 2
STATE, IMAGE = "state", "image"


@dataclass
class PushEnvironment:
    """Implements `training.control.closed_loop.Environment`.

    Attributes:
        task: The simulator.
        observation: "state", float64 [6], or "image", uint8 [size size 3].
    """

    task: PushTask = field(default_factory=PushTask)
    observation: str = STATE

    def reset(self, seed: int) -> "Tensor":
        """See `Environment`."""
        self.task.reset(seed=seed)
        return observe(self.task, self.observation)

    def step(self, action: "Tensor") -> "Tensor":
        """See `Environment`."""
        self.task.advance(action.numpy())
        return observe(self.task, self.observation)

    @property
    def is_solved(self) -> bool:
        """Whether the puck is in the goal."""
        return is_solved(self.task.state)


@dataclass
class SimulatorDynamics:
    """The true simulator as `training.control.dynamics.Dynamics` on states: its predictions are exact.

    Attributes:
        task: A simulator of its own, not that of the environment.
    """

    task: PushTask = field(default_factory=PushTask)

    def predict(self, histories: Sequence[History], actions: "Tensor") -> "Tensor":
        """See `Dynamics`."""
        import torch

        predicted = []
        for number, sequence in enumerate(actions.numpy()):
            history = histories[number if len(histories) > 1 else 0]
            self.task.reset(state=history.observations[-1].numpy())
            for action in sequence:
                self.task.advance(action)
                predicted.append(observe(self.task, STATE))
        stacked = torch.stack(predicted)
        return stacked.reshape(*actions.shape[:2], *stacked.shape[1:])


def observe(task: PushTask, observation: str) -> "Tensor":
    """The state or the image of a task."""
    import torch

    return torch.from_numpy(task.state if observation == STATE else task.render())


class ScriptedAgent:
    """`PushPolicy` as an agent of `training.control.closed_loop`, on states or on images.

    Args:
        noise: See `PushPolicy`; 1 is an agent that does not look.
        seed: Seed of its random walk; with the number of the episode.
    """

    def __init__(self, noise: float, seed: tuple[int, ...]) -> None:
        self.policy = PushPolicy(np.random.default_rng(seed), noise)

    def __call__(self, history: History) -> "Tensor":
        """The next action [2]."""
        import torch

        from stages.simulation.control.push_cost import positions

        place = positions(history.observations[-1]).double().numpy()
        return torch.from_numpy(self.policy(place)).float()
