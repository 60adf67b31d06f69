"""Policies of the push task: they are learned in a model, kept in files, and opened again."""

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import ClipmillError
from stages.simulation.control.push_cost import push_cost
from stages.simulation.control.push_environment import (
    ACTION_SIZE,
    IMAGE,
    STATE,
    PushEnvironment,
    SimulatorDynamics,
)
from stages.simulation.control.push_features import FEATURES, push_features
from stages.simulation.push_task import ACTION_SPEC, PushTask
from training.control.imitation import ImitationSettings, Round, learn_policy
from training.control.planner import PlannerSettings
from training.control.policy import NetworkAgent, load_policy, save_policy

if TYPE_CHECKING:
    from training.control.dynamics import Dynamics

PLAN_STD = 0.5  # of the first candidates, in place of 0.8: labels have less noise, and equal costs
_TASK = {"task": "push", "features": list(FEATURES), "action": dict(ACTION_SPEC), "rate": PushTask.rate}


def learn_push_policy(
    dynamics: "Dynamics | None",
    planner: PlannerSettings,
    settings: ImitationSettings,
    size: int,
    file: Path,
) -> NetworkAgent:
    """Learn a policy, and write its file. The rounds are printed to stderr.

    Args:
        dynamics: A model on images; None learns in the true simulator, on states.
        planner: The planner that it imitates.
        settings: How it is learned.
        size: Width and height of images in px.
        file: The file to write, whose stem names the policy in messages.
    """
    started = time.perf_counter()

    def report(number: int, done: Round) -> None:
        print(
            f"{file.stem}, round {number + 1}/{settings.rounds}: {done.examples} examples, cost"
            f" {done.cost:.3f} m, loss {done.loss:.4f}, {time.perf_counter() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    environment = PushEnvironment(PushTask(size), STATE if dynamics is None else IMAGE)
    searched = replace(planner, std=PLAN_STD)
    model = dynamics or SimulatorDynamics(PushTask(size))
    network = learn_policy(
        settings, searched, model, push_cost, push_features, environment.reset, ACTION_SIZE, report
    )
    learned = {"learned_in": file.stem, "planner": asdict(searched), "imitation": asdict(settings)}
    save_policy(network, _TASK | learned, file)
    return NetworkAgent(network, push_features)


def open_push_policy(file: Path) -> NetworkAgent:
    """Open a policy of the push task.

    Raises:
        ClipmillError: It cannot be read, or is of another task, other features, actions or rate.
    """
    network, about = load_policy(file)
    for name, needed in _TASK.items():
        if about.get(name) != needed:
            raise ClipmillError(
                f"the policy has another {name}: {about.get(name)}, and not {needed}",
                where=str(file),
                remedy="learn it with clipmill plan-actions --learn-policy of this version",
            )
    return NetworkAgent(network, push_features)
