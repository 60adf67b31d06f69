"""The closed loop of the push task: what images say, the simulator as a model, and the verb."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")

import torch

from pipeline.cli import main
from stages.simulation.control.compare_agents import Comparison, compare_agents
from stages.simulation.control.push_cost import positions, push_cost
from stages.simulation.control.push_environment import (
    IMAGE,
    PushEnvironment,
    ScriptedAgent,
    SimulatorDynamics,
)
from stages.simulation.control.push_features import push_features
from stages.simulation.push_task import PushTask
from training.control.closed_loop import run_episode, run_in_model
from training.control.dynamics import History
from training.control.planner import PlannerSettings
from training.control.policy import load_policy, save_policy


@pytest.mark.parametrize("size", [32, 64])
def test_images_show_where_the_discs_are(size: int) -> None:
    environment = PushEnvironment(PushTask(size), IMAGE)
    errors = []
    for seed in range(5):
        environment.reset(seed)
        agent = ScriptedAgent(0.4, (seed,))
        for _ in range(20):
            state = torch.from_numpy(environment.task.state)
            image = environment.step(agent(History(state[None], torch.zeros(0, 2))))
            errors.append((positions(image) - torch.from_numpy(environment.task.state[:4])) * size)
    assert torch.stack(errors).abs().max() < 0.15


def test_a_disc_that_is_not_seen_costs_much() -> None:
    table = torch.full((1, 1, 32, 32, 3), 200, dtype=torch.uint8)
    assert (positions(table) == -1).all()
    seen = torch.from_numpy(PushTask(32).reset(state=[0.9, 0.9, 0.2, 0.2, 0, 0])[0])
    assert push_cost(table) > push_cost(seen[None, None])


def test_the_cost_is_lowest_where_the_task_is_solved() -> None:
    states = torch.tensor(
        [[0.3, 0.5, 0.5, 0.5], [0.1, 0.5, 0.3, 0.5], [0.5, 0.5, 0.3, 0.5], [0.9, 0.9, 0.1, 0.1]]
    )
    costs = push_cost(states[:, None])
    assert costs.argsort().tolist() == [0, 1, 2, 3]


def test_the_simulator_predicts_what_happens() -> None:
    environment = PushEnvironment(PushTask(32))
    episode = run_episode(environment, ScriptedAgent(0.2, (1,)), seed=3, steps=12, action_size=2)
    start = History(episode.history.observations[:1], torch.zeros(0, 2))
    predicted = SimulatorDynamics(PushTask(32)).predict([start], episode.history.actions[None])
    assert torch.allclose(predicted[0], episode.history.observations[1:], atol=1e-6)


def test_policies_in_a_model_that_is_the_truth_do_what_they_do_in_truth() -> None:
    done = [run_episode(PushEnvironment(), ScriptedAgent(0.3, (n,)), n, 30, 2).history for n in (1, 2)]
    starts, agents = [each.observations[0] for each in done], [ScriptedAgent(0.3, (n,)) for n in (1, 2)]
    predicted = run_in_model(SimulatorDynamics(), starts, agents, 30, 2)
    for history, truth in zip(predicted, done, strict=True):
        assert torch.allclose(history.observations, truth.observations, atol=1e-3)
        assert torch.allclose(history.actions, truth.actions, atol=1e-2)


def test_the_expert_and_the_planner_solve_what_random_actions_do_not() -> None:
    planner = PlannerSettings(candidates=24, iterations=2, elites=4)
    random, oracle, expert = compare_agents(Comparison(episodes=2, size=16, planner=planner))
    assert (random.agent, oracle.agent, expert.agent) == ("random", "planner in true simulator", "expert")
    assert sum(random.solved) == 0
    assert sum(expert.solved) == 2
    assert oracle.distance < random.distance / 3


def test_the_verb_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--episodes", "1", "--steps", "3", "--candidates", "4", "--elites", "2", "--iterations", "1"]
    assert main(["plan-actions", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["agent", "solved", "95", "%", "of", "rate", "distance", "m", "s"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["random", "planner in true simulator", "expert"]
    assert main(["plan-actions", "--planner", "mppi", "--json", *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["settings"]["planner"]["planner"] == "mppi"
    assert [each["agent"] for each in printed["agents"]][-1] == "expert"
    assert len(printed["agents"][0]["interval"]) == 2


def test_more_actions_than_a_plan_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-actions", "--replan", "5", "--horizon", "4"]) == 1
    assert "--replan is 5, and a plan has 4 actions" in capsys.readouterr().err


def test_equal_seeds_give_equal_results() -> None:
    planner = PlannerSettings(candidates=6, iterations=1, elites=2)
    comparison = Comparison(episodes=1, steps=6, size=16, planner=planner)
    one, two = compare_agents(comparison), compare_agents(comparison)
    assert [each.distance for each in one] == [each.distance for each in two]


def test_a_learned_policy_is_compared_saved_and_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--episodes", "1", "--steps", "4", "--candidates", "4", "--elites", "2", "--iterations", "1"]
    learn = ["--learn-policy", str(tmp_path), "--rounds", "2", "--learning-episodes", "1"]
    assert main(["plan-actions", *options, *learn]) == 0
    printed = capsys.readouterr()
    assert "simulator, round 2/2: 8 examples, cost" in printed.err
    agents = [line.split("  ")[0] for line in printed.out.splitlines()[1:]]
    assert agents == ["random", "policy learned in simulator", "planner in true simulator", "expert"]
    file = tmp_path / "simulator.safetensors"
    assert main(["plan-actions", *options, "--policy", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["agents"][1]
    assert found["agent"] == "policy simulator"
    network, about = load_policy(file)
    assert about["learned_in"] == "simulator"
    save_policy(network, about | {"rate": 10.0}, file)
    assert main(["plan-actions", *options, "--policy", str(file)]) == 1
    assert "the policy has another rate: 10.0, and not 12.0" in capsys.readouterr().err


def test_features_of_a_state_and_of_its_image() -> None:
    image, state = PushTask(64).reset(state=[0.2, 0.5, 0.3, 0.5, 0, 0])
    found = push_features(torch.from_numpy(state))
    wanted = [0.2, 0.5, 0.3, 0.5, -0.1, 0, 0.1, -0.1, 0, 0.2, 1, 0]
    assert torch.allclose(found, torch.tensor(wanted), atol=1e-6)
    assert torch.allclose(push_features(torch.from_numpy(image)), found, atol=0.03)
