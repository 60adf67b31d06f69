"""Planning and its statistics, on a point that actions move."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from training.control.closed_loop import PlanningAgent, run_episode, run_in_model
from training.control.dynamics import History
from training.control.planner import PlannerSettings, correlate, mppi_weights, plan
from training.control.statistics import compare_rates, pearson, spearman, wilson_interval
from training.errors import SettingError
from training.noise import normal

GOAL = torch.tensor([0.5, -0.3])


class Point:
    """A point [2] that an action moves by a tenth of it: the environment, and a model of it."""

    def reset(self, seed: int) -> Tensor:
        self.place = torch.full((2,), seed / 10)
        return self.place

    def step(self, action: Tensor) -> Tensor:
        self.place = self.place + action / 10
        return self.place

    @property
    def is_solved(self) -> bool:
        return bool((self.place - GOAL).norm() < 0.05)

    def predict(self, histories: Sequence[History], actions: Tensor) -> Tensor:
        starts = torch.stack([history.observations[-1] for history in histories])
        return starts[:, None] + actions.cumsum(1) / 10


def distance(places: Tensor) -> Tensor:
    return (places - GOAL).norm(dim=-1).mean(1)


@pytest.mark.parametrize("planner", ["cem", "mppi"])
def test_a_planner_reaches_the_goal(planner: str) -> None:
    settings = PlannerSettings(planner=planner, horizon=6, candidates=64)
    agent = PlanningAgent(settings, Point(), distance, replan=2)
    episode = run_episode(Point(), agent, seed=-4, steps=16, action_size=2)
    assert episode.solved
    assert episode.history.observations.shape == (17, 2)
    assert episode.history.actions.abs().max() <= 1


@pytest.mark.parametrize("planner", ["cem", "mppi"])
def test_a_plan_depends_on_seed_episode_and_step_only(planner: str) -> None:
    history = History(torch.zeros(1, 2), torch.zeros(0, 2))

    def actions(seed: int = 0, episode: int = 0, step: int = 0) -> Tensor:
        settings = PlannerSettings(planner=planner, seed=seed)
        return plan(settings, Point(), distance, history, episode=episode, step=step).actions

    assert actions().equal(actions())
    others = [actions(seed=1), actions(episode=1), actions(step=1)]
    assert not any(actions().equal(other) for other in others)


def test_a_plan_is_no_worse_than_the_one_that_it_continues() -> None:
    history = History(torch.zeros(1, 2), torch.zeros(0, 2))
    best = (GOAL * 10).clamp(-1, 1).expand(5, 2) * torch.tensor([1, 1, 1, 0, 0])[:, None]
    cost = float(distance(Point().predict([history], best[None])))
    settings = PlannerSettings(horizon=5, candidates=2, elites=1, iterations=1)
    assert plan(settings, Point(), distance, history, previous=best).cost <= cost


def test_it_replans_after_the_given_number_of_actions() -> None:
    calls = []

    class Counted(Point):
        def predict(self, histories: Sequence[History], actions: Tensor) -> Tensor:
            calls.append(len(histories[0].actions))
            return super().predict(histories, actions)

    agent = PlanningAgent(PlannerSettings(horizon=4, iterations=1), Counted(), distance, replan=3)
    run_episode(Point(), agent, seed=0, steps=7, action_size=2)
    assert calls == [0, 3, 6]


def test_settings_and_costs_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingError, match="elites is 50, more than the 40"):
        PlannerSettings(elites=50)
    with pytest.raises(SettingError, match="planner 'best'"):
        PlannerSettings(planner="best")
    history = History(torch.full((1, 2), math.nan), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="finite"):
        plan(PlannerSettings(), Point(), distance, history)
    with pytest.raises(ValueError, match="2 observations have one action less"):
        History(torch.zeros(2, 2), torch.zeros(0, 2))


def test_noise_is_correlated_over_time_and_keeps_its_variance() -> None:
    noise = correlate(normal(0, "test", [0], (20_000, 10, 2))[0], 0.8)
    assert noise[:, 9].std().item() == pytest.approx(1, abs=0.02)
    assert (noise[:, 4] * noise[:, 5]).mean().item() == pytest.approx(0.8, abs=0.02)


def test_weights_of_mppi_prefer_low_costs_in_any_unit() -> None:
    costs = torch.tensor([3.0, 1.0, 2.0])
    weights = mppi_weights(costs, 0.3)
    assert weights.sum().item() == pytest.approx(1)
    assert weights.argsort(descending=True).tolist() == [1, 2, 0]
    assert torch.allclose(mppi_weights(costs * 1000, 0.3), weights, atol=1e-6)
    assert torch.allclose(mppi_weights(torch.ones(3), 0.3), torch.full((3,), 1 / 3))


def test_agents_act_in_the_model_as_if_it_were_the_truth() -> None:
    starts = [torch.zeros(2), torch.ones(2)]
    agents = [lambda history: history.observations[-1] * 0 + 1, lambda history: -history.observations[-1]]
    histories = run_in_model(Point(), starts, agents, steps=3, action_size=2)
    assert torch.allclose(histories[0].observations[-1], torch.full((2,), 0.3))
    assert torch.allclose(histories[1].observations[-1], torch.full((2,), 0.9**3))


def test_wilson_intervals_are_the_published_ones() -> None:
    """Values of R's binom.confint(method="wilson")."""
    assert wilson_interval(18, 30) == pytest.approx((0.4232, 0.7541), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson_interval(3, 2)


def test_correlations_are_those_of_the_pilot() -> None:
    truth, model = (0.86, 0.86, 0.56, 0.24, 0.10, 0.0), (0.92, 0.84, 0.72, 0.32, 0.08, 0.02)
    agreement = compare_rates(model, truth)
    assert agreement.pearson == pytest.approx(0.985, abs=2e-3)
    assert agreement.bias == pytest.approx(0.0467, abs=1e-3)
    assert agreement.mean_error == pytest.approx(0.06, abs=1e-2)
    assert agreement.spearman == pytest.approx(0.9856, abs=1e-3)
    assert spearman((1, 2, 3, 4), (1, 4, 9, 16)) == pytest.approx(1)
    assert math.isnan(pearson((1, 1), (0, 1)))
    with pytest.raises(ValueError, match="two or more pairs"):
        pearson((1,), (1,))
