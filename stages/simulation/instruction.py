"""Episodes of the push task with an instruction: to which edge of the table the puck is pushed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.action import record_episode
from stages.simulation.extra import import_extra
from stages.simulation.film import Film, Floats, random_of
from stages.simulation.push_policy import PushPolicy
from stages.simulation.push_task import ACTION_SPEC, FRAME, PUCK_RADIUS, STATE_SPEC, PushTask

_NEAR = PUCK_RADIUS + 0.07  # m; the center of a puck that is closer to an edge is at this edge
EDGES = {"left": (-1, 0), "right": (1, 0), "bottom": (0, -1), "top": (0, 1)}  # directions to them
REGION_SPEC = {
    "object": "puck",
    "names": ["x_min", "y_min", "x_max", "y_max"],
    "units": ["m"] * 4,
    "frame": FRAME,
}


@dataclass(frozen=True)
class InstructionEpisodes:
    """Episodes in which the scripted policy pushes the puck to the edge that the caption names.

    Each episode has a random start and one of four instructions; no goal is drawn. The columns `action` and
    `state` are those of `PushEpisodes`. `instruction_region` is where the puck must end, equal in all rows.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of an episode, one more than its steps.
        fps: Steps per second. Below 5, the policy often misses the puck.
        size: Width and height of the frames in px, even.
        noise: Greatest share of a random walk in the actions; each episode has one from 0 to this.
    """

    seed: int = 0
    frames: int = 41
    fps: float = 12.0
    size: int = 64
    noise: float = 0.1

    def prepare(self) -> None:
        """See `Generator`."""
        import_extra("pymunk")

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of an episode."""
        rng = random_of(self.seed, "instruction", scene)
        edge = list(EDGES)[int(rng.integers(len(EDGES)))]
        task = PushTask(self.size, self.fps, has_goal=False)
        start = int(rng.integers(2**31))
        task.reset(seed=start)
        policy = PushPolicy(rng, self.noise * float(rng.uniform()), _goal(edge, task.state[2:4]))
        images, states, actions = record_episode(task, policy, start, self.frames)
        film = Film(
            name=f"episode_{scene:06d}",
            frames=images,
            conditions={
                "action": actions,
                "state": states,
                "instruction_region": np.tile(region_of(edge), (self.frames, 1)),
            },
            spec={"action": ACTION_SPEC, "state": STATE_SPEC, "instruction_region": REGION_SPEC},
            caption=instruct(edge),
            listed={
                "instruction": edge,
                "policy_noise": round(policy.noise, 6),
                "solved": is_at_edge(states[-1], edge),
            },
        )
        return [film]


def instruct(edge: str) -> str:
    """The instruction of an edge out of `EDGES`."""
    return f"Push the red puck to the {edge} edge."


def region_of(edge: str) -> Floats:
    """Where the center of the puck is at an edge: x_min, y_min, x_max, y_max in m."""
    direction = np.array(EDGES[edge])
    return np.concatenate([np.where(direction > 0, 1 - _NEAR, 0.0), np.where(direction < 0, _NEAR, 1.0)])


def is_at_edge(state: Floats, edge: str) -> bool:
    """Whether the puck of a state [6] is at an edge."""
    low, high = region_of(edge).reshape(2, 2)
    return bool((low <= state[2:4]).all() and (state[2:4] <= high).all())


def _goal(edge: str, puck: Floats) -> tuple[float, float]:
    """Where the puck, whose center is at [2] in m, touches an edge straight ahead."""
    x, y = np.clip(puck + EDGES[edge], PUCK_RADIUS, 1 - PUCK_RADIUS).tolist()
    return x, y
