"""Planners: search for the actions whose predicted observations have the lowest cost, by sampling.

Both draw sequences of actions around a mean, predict what they lead to, and move the mean to the better
ones. Numbers come from a counter-based generator: a plan is a function of seed, episode, step and history.

Sources: Rubinstein & Kroese 2004, The Cross-Entropy Method, for CEM; Williams et al. 2017, "Information
theoretic MPC for model-based reinforcement learning", Eq. 25 f., for MPPI; Pinneri et al. 2020,
arXiv:2008.06389, for noise that is correlated over time and for plans that begin with the last one.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from manifests import PositiveFloat, PositiveInt, Range
from training.control.dynamics import Cost, Dynamics, History
from training.errors import SettingError
from training.noise import hash_position, normal
from training.settings.check import check_settings

PLANNERS = ("cem", "mppi")


@dataclass(frozen=True, kw_only=True)
class PlannerSettings:
    """How a planner searches. Actions are in -1..1.

    Attributes:
        planner: cem (the mean and the standard deviation of the best candidates) or mppi (the mean of all
            candidates, weighted by exp(-cost / temperature)).
        horizon: Actions of a plan. Higher values look further ahead and cost more predictions.
        candidates: Sequences of actions that are predicted per iteration. Higher values search better and
            cost more.
        iterations: Times that the distribution is updated. Higher values search better and cost more.
        elites: Best candidates that cem keeps. Higher values narrow the search more slowly.
        temperature: Temperature of mppi, as a share of the standard deviation of the costs. Higher values
            average over more candidates.
        std: Standard deviation of the first candidates. Higher values explore more.
        correlation: Correlation of the noise of an action with that of the action before. Higher values
            search among smoother sequences.
        seed: Seed of the candidates.

    Raises:
        SettingError: A value is out of its range, or there are fewer candidates than elites.
    """

    planner: str = "cem"
    horizon: PositiveInt = 10
    candidates: PositiveInt = 40
    iterations: PositiveInt = 3
    elites: PositiveInt = 8
    temperature: PositiveFloat = 0.3
    std: PositiveFloat = 0.8
    correlation: Annotated[float, Range(0, below=1)] = 0.8
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self, {"planner": PLANNERS})
        if self.elites > self.candidates:
            raise SettingError(
                f"elites is {self.elites}, more than the {self.candidates} candidates",
                remedy="lower elites, or raise candidates",
            )


@dataclass(frozen=True)
class Plan:
    """A sequence of actions [h a], and its predicted cost."""

    actions: Tensor
    cost: float


def plan(
    settings: PlannerSettings,
    dynamics: Dynamics,
    cost: Cost,
    history: History,
    *,
    previous: Tensor | None = None,
    episode: int = 0,
    step: int = 0,
) -> Plan:
    """Search for the actions of the lowest predicted cost.

    Args:
        settings: How to search.
        dynamics: Predicts observations.
        cost: Of predicted observations.
        history: What was observed so far.
        previous: Actions [k a] that the last plan has for the next steps; the search begins at them.
        episode, step: Decide the noise, together with the seed.

    Returns:
        Of cem the best candidate of all iterations, of mppi the last mean.

    Raises:
        ValueError: The costs are not one finite number per candidate.
    """
    h, a = settings.horizon, history.actions.shape[1]
    mean, std = torch.zeros(h, a), torch.full((h, a), float(settings.std))
    if previous is not None:
        kept = previous[:h]
        mean[: len(kept)] = kept
    best = Plan(mean, float("inf"))
    for iteration in range(settings.iterations):
        position = hash_position(f"{episode} {step} {iteration}")
        noise = normal(settings.seed, "plan", [position], (settings.candidates, h, a))[0]
        candidates = (mean + std * correlate(noise, settings.correlation)).clamp(-1, 1)
        candidates[0] = mean  # a plan that was good stays in the search
        costs = cost(dynamics.predict([history], candidates))
        if costs.shape != (len(candidates),) or not bool(costs.isfinite().all()):
            raise ValueError(f"costs {tuple(costs.shape)} are not {len(candidates)} finite numbers")
        lowest = int(costs.argmin())
        if float(costs[lowest]) < best.cost:
            best = Plan(candidates[lowest].clone(), float(costs[lowest]))
        if settings.planner == "cem":
            elites = candidates[costs.argsort(stable=True)[: settings.elites]]
            mean, std = elites.mean(0), elites.std(0, correction=0).clamp(min=0.05)
        else:
            mean = mppi_weights(costs, settings.temperature) @ candidates.flatten(1)
            mean = mean.reshape(h, a)
    if settings.planner == "cem":
        return best
    return Plan(mean, float(cost(dynamics.predict([history], mean[None]))))


def mppi_weights(costs: Tensor, temperature: float) -> Tensor:
    """The weight of each candidate, [n]; they sum to 1. Costs are in units of their standard deviation."""
    scale = temperature * float(costs.std(correction=0))
    return torch.softmax(-(costs - costs.min()) / max(scale, 1e-9), 0)


def correlate(noise: Tensor, correlation: float) -> Tensor:
    """Standard normal noise [n h a] whose neighbors along h have this correlation, by an AR(1) process."""
    out, fresh = noise.clone(), (1 - correlation**2) ** 0.5
    for step in range(1, noise.shape[1]):
        out[:, step] = correlation * out[:, step - 1] + fresh * noise[:, step]
    return out
