"""A policy that is learned in a model solves the task that the planner solves, and is kept in a file."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from training.control.closed_loop import run_episode
from training.control.dynamics import History
from training.control.imitation import ImitationSettings, Round, learn_policy
from training.control.planner import PlannerSettings
from training.control.policy import NetworkAgent, PolicyNetwork, load_policy, save_policy
from training.errors import CheckpointError, SettingError

GOAL = torch.tensor([0.5, -0.3])


class Point:
    """A point [2] that an action moves by a tenth of it: the environment, and a model of it."""

    def reset(self, seed: int) -> Tensor:
        self.place = torch.tensor([seed / 10, -seed / 20])
        return self.place

    def step(self, action: Tensor) -> Tensor:
        self.place = self.place + action / 10
        return self.place

    @property
    def is_solved(self) -> bool:
        return bool((self.place - GOAL).norm() < 0.05)

    def predict(self, histories: Sequence[History], actions: Tensor) -> Tensor:
        return torch.stack([each.observations[-1] for each in histories])[:, None] + actions.cumsum(1) / 10


def distance(places: Tensor) -> Tensor:
    return (places - GOAL).norm(dim=-1).mean(1)


SETTINGS = ImitationSettings(rounds=2, episodes=6, steps=16, labels=3, epochs=60, batch_size=32, width=16)
PLANNER = PlannerSettings(horizon=4, candidates=24, iterations=2)


def start(episode: int) -> Tensor:
    return Point().reset(episode - 6)


def features(observations: Tensor) -> Tensor:
    return observations


def test_it_reaches_the_goal_without_planning(tmp_path: Path) -> None:
    rounds: list[Round] = []
    network = learn_policy(
        SETTINGS, PLANNER, Point(), distance, features, start, 2, lambda _, done: rounds.append(done)
    )
    assert [done.examples for done in rounds] == [6 * 4 * 3, 2 * 6 * 4 * 3]
    assert max(done.cost for done in rounds) < 0.25
    for seed in (-9, 8):  # not among the starts
        places = run_episode(Point(), NetworkAgent(network, features), seed, 16, 2).history.observations
        assert (places[-1] - GOAL).norm() < 0.25 * (places[0] - GOAL).norm()
    save_policy(network, {"task": "point"}, tmp_path / "policies" / "point.safetensors")
    again, about = load_policy(tmp_path / "policies" / "point.safetensors")
    assert about == {"task": "point"}
    assert again(GOAL[None]).equal(network(GOAL[None]))


def test_equal_settings_give_equal_policies() -> None:
    short = ImitationSettings(rounds=1, episodes=1, steps=2, epochs=3)
    one, two = (learn_policy(short, PLANNER, Point(), distance, features, start, 2) for _ in range(2))
    assert one(GOAL).equal(two(GOAL))


def test_files_and_settings_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="rounds"):
        ImitationSettings(rounds=0)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_policy(tmp_path / "nowhere.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="holds no policy"):
        load_policy(tmp_path / "other.safetensors")
    network = PolicyNetwork(2, 2, 8)
    del network.layers[4]
    save_policy(network, {}, tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match="holds no policy"):
        load_policy(tmp_path / "broken.safetensors")
