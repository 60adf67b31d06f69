"""Learns a policy in a model of the dynamics: it imitates a planner, on what the policy itself leads to.

The model makes all experience (imagination): the environment is only asked for first observations. In the
first round episodes follow the plans. In each later round they follow the policy, and the planner begins its
search at what the policy would do (DAgger): a label is no worse than the policy, and is about the situations
that the policy leads to.

Sources: Ross, Gordon & Bagnell 2011, arXiv:1011.0686, for DAgger; Wang & Ba 2020, arXiv:1906.08649, for
policies that imitate planning in a model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from manifests import PositiveFloat, PositiveInt, Range
from training.control.dynamics import Cost, Dynamics, History
from training.control.planner import PlannerSettings, plan
from training.control.policy import Features, NetworkAgent, PolicyNetwork
from training.settings.check import check_settings


@dataclass(frozen=True, kw_only=True)
class ImitationSettings:
    """How a policy is learned.

    Attributes:
        rounds: Rounds of experience; the network is trained after each. Higher values correct more errors of
            the policy, and cost more plans.
        episodes: Episodes of a round. Higher values see more situations, and cost more plans.
        steps: Actions of an episode. Higher values see later situations.
        labels: First actions of a plan that are learned, with what they are predicted to lead to. Higher
            values give more, and less certain, examples.
        replan: Actions of an episode between two plans. Higher values cost fewer plans.
        width: Units of a hidden layer. Higher values fit more complex policies.
        epochs: Times that the network sees each example after a round. Higher values fit better.
        batch_size: Examples of an update. Higher values have less noise.
        lr: Peak learning rate. Higher values learn faster and can diverge.
        seed: Seed of plans, weights and batches.

    Raises:
        SettingError: A value is out of its range.
    """

    rounds: PositiveInt = 4
    episodes: PositiveInt = 24
    steps: PositiveInt = 40
    labels: PositiveInt = 4
    replan: PositiveInt = 4
    width: PositiveInt = 64
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 3e-3
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self, {})


@dataclass(frozen=True)
class Round:
    """What a round had.

    Attributes:
        examples: Features with an action, of this round and those before.
        cost: Mean cost of the last observation of its episodes, in the model.
        loss: Mean squared error of the actions over the last tenth of the updates of the network.
    """

    examples: int
    cost: float
    loss: float


def learn_policy(
    settings: ImitationSettings,
    planner: PlannerSettings,
    dynamics: Dynamics,
    cost: Cost,
    features: Features,
    start: Callable[[int], Tensor],
    action_size: int,
    report: Callable[[int, Round], None] = lambda *_: None,
) -> PolicyNetwork:
    """Learn a policy of which all experience is predicted.

    Args:
        settings: How it is learned.
        planner: How the plans that it imitates are searched.
        dynamics: The model.
        cost: Of predicted observations, which plans minimize.
        features: What the policy sees of an observation.
        start: The first observation of an episode, by its number.
        action_size: Numbers of an action.
        report: Called after each round.
    """
    experience = _Experience(settings, planner, dynamics, cost, features, action_size)
    agent: NetworkAgent | None = None
    for number in range(settings.rounds):
        episodes = range(number * settings.episodes, (number + 1) * settings.episodes)
        ends = [experience.add(start(episode), episode, agent) for episode in episodes]
        network, loss = _fit(settings, torch.cat(experience.inputs), torch.cat(experience.labels), number)
        agent = NetworkAgent(network, features)
        report(number, Round(sum(map(len, experience.inputs)), sum(ends) / len(ends), loss))
    assert agent is not None
    return agent.network


class _Imagined(NamedTuple):
    """Actions [h a], and what is predicted after each, [h ...]."""

    actions: Tensor
    observed: Tensor


@dataclass
class _Experience:
    """Examples of what a planner does.

    Attributes:
        inputs: Features [k f] of each plan.
        labels: Actions [k a].
    """

    settings: ImitationSettings
    planner: PlannerSettings
    dynamics: Dynamics
    cost: Cost
    features: Features
    action_size: int
    inputs: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, start: Tensor, episode: int, agent: NetworkAgent | None) -> float:
        """Add the plans of an episode that follows an agent, or the plans; return the cost of its end."""
        history = History(start[None], torch.zeros(0, self.action_size))
        previous: Tensor | None = None
        while len(history.actions) < self.settings.steps:
            step = len(history.actions)
            if agent is not None:
                own = self._imagine(agent, history)
                previous = own.actions
            found = plan(
                self.planner, self.dynamics, self.cost, history, previous=previous, episode=episode, step=step
            )
            predicted = self.dynamics.predict([history], found.actions[None])[0]
            seen = torch.cat([history.observations[-1:], predicted])[: self.settings.labels]
            self.inputs.append(self.features(seen).float())
            self.labels.append(found.actions[: self.settings.labels])
            actions, observed = (found.actions, predicted) if agent is None else (own.actions, own.observed)
            for number in range(min(self.settings.replan, self.planner.horizon)):
                history = history.after(actions[number], observed[number])
            previous = found.actions[self.settings.replan :]
        return float(self.cost(history.observations[None, -1:]))

    def _imagine(self, agent: NetworkAgent, history: History) -> _Imagined:
        """What the agent does over the horizon of a plan, in the model."""
        first = len(history.actions)
        for _ in range(self.planner.horizon):
            action = agent(history)
            predicted = self.dynamics.predict([history], action[None, None])[0, 0]
            history = history.after(action, predicted)
        return _Imagined(history.actions[first:], history.observations[first + 1 :])


def _fit(
    settings: ImitationSettings, inputs: Tensor, labels: Tensor, number: int
) -> tuple[PolicyNetwork, float]:
    """A network for the examples [n f] and [n a], from random weights; and its loss."""
    rng = torch.Generator().manual_seed(settings.seed * 1000 + number)
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.seed)
        network = PolicyNetwork(inputs.shape[1], labels.shape[1], settings.width)
    network.mean.copy_(inputs.mean(0))
    network.std.copy_(inputs.std(0, correction=0).clamp(min=1e-6))
    updates = math.ceil(settings.epochs * len(inputs) / settings.batch_size)
    optimizer = torch.optim.Adam(network.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    last = list[float]()
    for update in range(updates):
        chosen = torch.randint(len(inputs), (settings.batch_size,), generator=rng)
        loss = mse_loss(network(inputs[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if update >= updates * 9 // 10:
            last.append(loss.item())
    return network.eval(), sum(last) / len(last)
