"""Success of random actions, planners and the expert, on the same episodes of the push task."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from manifests import PositiveInt
from stages.simulation.control.push_cost import push_cost
from stages.simulation.control.push_environment import (
    ACTION_SIZE,
    IMAGE,
    STATE,
    PushEnvironment,
    ScriptedAgent,
    SimulatorDynamics,
)
from stages.simulation.push_task import PushTask, distance_to_goal
from training.control.closed_loop import Agent, PlanningAgent, run_episode
from training.control.planner import PlannerSettings
from training.control.statistics import wilson_interval

if TYPE_CHECKING:
    from training.control.dynamics import Dynamics

FIRST_SEED = 10**6  # of the episodes, far from the seeds of trainings


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared.

    Attributes:
        episodes: Episodes of each agent, with the seeds FIRST_SEED + seed, + 1 ….
        steps: Actions of an episode. Higher values give more time to solve the task.
        size: Width and height of images in px.
        replan: Actions of a plan that are applied before the next plan. Higher values plan less often.
        planner: How planners search.
        seed: Seed of episodes and noise.
    """

    episodes: PositiveInt = 30
    steps: PositiveInt = 40
    size: PositiveInt = 32
    replan: PositiveInt = 4
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    seed: int = 0


@dataclass(frozen=True)
class AgentResult:
    """The result of an agent.

    Attributes:
        agent: What acted.
        solved: For each episode, whether the puck was in the goal after the last action.
        distance: Mean distance of the puck from the center of the goal at the end, in m.
        seconds: Time of all episodes, in s.
    """

    agent: str
    solved: tuple[bool, ...]
    distance: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields, the success rate and its Wilson interval of 95 %."""
        low, high = wilson_interval(sum(self.solved), len(self.solved))
        rate = sum(self.solved) / len(self.solved)
        return asdict(self) | {"success_rate": rate, "interval": [low, high]}

    def line(self) -> str:
        """One line of the table."""
        low, high = wilson_interval(sum(self.solved), len(self.solved))
        success = f"{sum(self.solved)}/{len(self.solved)}"
        return (
            f"{self.agent:26}{success:>7}   {low:.2f} to {high:.2f}{self.distance:>11.3f}{self.seconds:>9.1f}"
        )


HEADER = f"{'agent':26}{'solved':>7}   {'95 % of rate':12}{'distance m':>11}{'s':>9}"


def compare_agents(
    comparison: Comparison,
    models: "Mapping[str, Dynamics] | None" = None,
    policies: "Mapping[str, Agent] | None" = None,
    report: Callable[[AgentResult], None] = lambda _: None,
) -> list[AgentResult]:
    """Let each agent act in the same episodes.

    Args:
        comparison: What to compare.
        models: Models of the dynamics on images by name; a planner in each is an agent.
        policies: Policies on images, by the name of their row.
        report: Called with each result as soon as it is there.
    """
    models, results = dict(models or {}), []
    agents: dict[str, tuple[str, Callable[[int], Agent]]] = {
        "random": (STATE, lambda episode: ScriptedAgent(1.0, (comparison.seed, episode)))
    }
    for name, dynamics in models.items():
        agents[f"planner in {name}"] = (IMAGE, _planning(comparison, dynamics))
    for name, policy in (policies or {}).items():
        agents[name] = (IMAGE, _same(policy))
    oracle = SimulatorDynamics(PushTask(comparison.size))
    agents["planner in true simulator"] = (STATE, _planning(comparison, oracle))
    agents["expert"] = (STATE, lambda episode: ScriptedAgent(0.0, (comparison.seed, episode)))
    for name, (observation, create) in agents.items():
        results.append(_run(comparison, name, observation, create))
        report(results[-1])
    return results


def _same(policy: Agent) -> Callable[[int], Agent]:
    return lambda _: policy


def _planning(comparison: Comparison, dynamics: "Dynamics") -> Callable[[int], Agent]:
    def create(episode: int) -> Agent:
        return PlanningAgent(comparison.planner, dynamics, push_cost, comparison.replan, episode)

    return create


def _run(comparison: Comparison, name: str, observation: str, create: Callable[[int], Agent]) -> AgentResult:
    started, solved, distances = time.perf_counter(), [], []
    for episode in range(comparison.episodes):
        environment = PushEnvironment(PushTask(comparison.size), observation)
        seed = FIRST_SEED + comparison.seed + episode
        done = run_episode(environment, create(episode), seed, comparison.steps, ACTION_SIZE)
        solved.append(done.solved)
        distances.append(distance_to_goal(environment.task.state[2:4]))
    seconds = time.perf_counter() - started
    return AgentResult(name, tuple(solved), sum(distances) / len(distances), seconds)
