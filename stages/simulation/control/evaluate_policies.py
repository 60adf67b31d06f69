"""Policy evaluation: success of graded policies in a model, compared with the truth, on the same episodes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stages.simulation.control.compare_agents import FIRST_SEED, Comparison
from stages.simulation.control.push_cost import positions
from stages.simulation.control.push_environment import ACTION_SIZE, IMAGE, PushEnvironment, ScriptedAgent
from stages.simulation.push_task import GOAL_RADIUS, PushTask, distance_to_goal
from training.control.closed_loop import Agent, run_episode, run_in_model
from training.control.statistics import Agreement, compare_rates, wilson_interval

if TYPE_CHECKING:
    from training.control.dynamics import Dynamics

NOISES = (0.0, 0.3, 0.35, 0.4, 0.5, 1.0)  # of the policies, from the expert to one that does not look
POLICY_HEADER = f"{'policy':14}{'in truth':>9}   {'95 % of rate':12}{'in model':>9}   {'95 % of rate':12}"


@dataclass(frozen=True)
class PolicyResult:
    """Success of a policy in the truth and in the model.

    Attributes:
        policy: Its name; "noise N" is the expert with this share of noise in its actions.
        in_truth, in_model: For each episode, whether the puck was in the goal after the last action.
    """

    policy: str
    in_truth: tuple[bool, ...]
    in_model: tuple[bool, ...]

    def line(self) -> str:
        """One line of the table."""
        cells = [f"{self.policy:14}"]
        for solved in (self.in_truth, self.in_model):
            low, high = wilson_interval(sum(solved), len(solved))
            cells.append(f"{f'{sum(solved)}/{len(solved)}':>9}   {low:.2f} to {high:.2f}")
        return "".join(cells)

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def evaluate_policies(
    comparison: Comparison,
    dynamics: "Dynamics",
    noises: tuple[float, ...] = NOISES,
    policies: "Mapping[str, Agent] | None" = None,
    report: Callable[[PolicyResult], None] = lambda _: None,
) -> tuple[list[PolicyResult], Agreement]:
    """Run each policy in the same episodes in the simulator and in the model.

    A policy sees images in both. In the model it begins with the true first image, and sees predictions.

    Args:
        comparison: Episodes, steps, size and seed.
        dynamics: The model, on images.
        noises: `PushPolicy.noise` of each graded policy.
        policies: Further policies by name.
        report: Called with each result as soon as it is there.

    Raises:
        ValueError: There are fewer than two policies.
    """
    graded = {f"noise {noise:.2f}": _graded(comparison, noise) for noise in noises}
    further = {name: _same(policy) for name, policy in (policies or {}).items()}
    results = []
    for name, create in (graded | further).items():
        in_truth, starts = [], []
        for episode in range(comparison.episodes):
            environment = PushEnvironment(PushTask(comparison.size), IMAGE)
            seed = FIRST_SEED + comparison.seed + episode
            done = run_episode(environment, create(episode), seed, comparison.steps, ACTION_SIZE)
            in_truth.append(done.solved)
            starts.append(done.history.observations[0])
        agents = [create(episode) for episode in range(len(starts))]
        histories = run_in_model(dynamics, starts, agents, comparison.steps, ACTION_SIZE)
        in_model = [
            distance_to_goal(positions(history.observations[-1])[2:].numpy()) < GOAL_RADIUS
            for history in histories
        ]
        results.append(PolicyResult(name, tuple(in_truth), tuple(in_model)))
        report(results[-1])
    rates = [
        [sum(solved) / len(solved) for solved in (result.in_model, result.in_truth)] for result in results
    ]
    return results, compare_rates([model for model, _ in rates], [truth for _, truth in rates])


def _graded(comparison: Comparison, noise: float) -> Callable[[int], Agent]:
    return lambda episode: ScriptedAgent(noise, (comparison.seed, episode))


def _same(policy: Agent) -> Callable[[int], Agent]:
    return lambda _: policy
