"""Episodes of an agent in an environment: model-predictive control, or a policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from training.control.dynamics import Cost, Dynamics, History
from training.control.planner import PlannerSettings, plan


class Environment(Protocol):
    """A task. Its observations are tensors, such as images uint8 [h w 3] or states [s]."""

    def reset(self, seed: int) -> Tensor:
        """Begin the episode that a seed decides, and return its first observation."""
        ...

    def step(self, action: Tensor) -> Tensor:
        """Apply an action [a], and return the observation after it."""
        ...

    @property
    def is_solved(self) -> bool:
        """Whether the task is solved now."""
        ...


Agent = Callable[[History], Tensor]
"""Chooses the next action [a] from what was observed. It serves one episode."""


@dataclass(frozen=True)
class Episode:
    """What happened in an episode.

    Attributes:
        history: All observations and actions.
        solved: Whether the task was solved after the last action.
    """

    history: History
    solved: bool


def run_episode(environment: Environment, agent: Agent, seed: int, steps: int, action_size: int) -> Episode:
    """Let an agent act for a number of steps."""
    history = History(environment.reset(seed)[None], torch.zeros(0, action_size))
    for _ in range(steps):
        action = agent(history)
        history = history.after(action, environment.step(action))
    return Episode(history, environment.is_solved)


@dataclass
class PlanningAgent:
    """Model-predictive control: it plans, applies the first actions of the plan, and plans again.

    Attributes:
        settings: How to search for a plan.
        dynamics: Predicts observations.
        cost: Of predicted observations.
        replan: Actions of a plan that are applied before the next one; at most the horizon.
        episode: Number of the episode, which decides the noise of the planner.
    """

    settings: PlannerSettings
    dynamics: Dynamics
    cost: Cost
    replan: int = 1
    episode: int = 0
    _actions: Tensor = field(default_factory=lambda: torch.zeros(0), init=False)
    _applied: int = field(default=0, init=False)

    def __call__(self, history: History) -> Tensor:
        """The next action [a]."""
        if self._applied >= min(self.replan, len(self._actions)):
            found = plan(
                self.settings,
                self.dynamics,
                self.cost,
                history,
                previous=self._actions[self._applied :] if len(self._actions) else None,
                episode=self.episode,
                step=len(history.actions),
            )
            self._actions, self._applied = found.actions, 0
        self._applied += 1
        return self._actions[self._applied - 1]


def run_in_model(
    dynamics: Dynamics, starts: Sequence[Tensor], agents: Sequence[Agent], steps: int, action_size: int
) -> list[History]:
    """Let each agent act in the model, from its own first observation, as if predictions were observed."""
    histories = [History(start[None], torch.zeros(0, action_size)) for start in starts]
    for _ in range(steps):
        actions = torch.stack([agent(history) for agent, history in zip(agents, histories, strict=True)])
        predicted = dynamics.predict(histories, actions[:, None])[:, 0]
        histories = [h.after(*pair) for h, *pair in zip(histories, actions, predicted, strict=True)]
    return histories
