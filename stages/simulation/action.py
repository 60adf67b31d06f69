"""Episodes of the push task: films with the action of each step and the positions of pusher and puck."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.extra import import_extra
from stages.simulation.film import Film, Floats, Images, random_of
from stages.simulation.push_policy import PushPolicy
from stages.simulation.push_task import ACTION_SPEC, STATE_SPEC, PushTask, is_solved

_MOVED = 0.02  # m; a puck that moved less was not pushed


@dataclass(frozen=True)
class PushEpisodes:
    """Episodes of the scripted policy with a share of noise that is uniform in 0..1.

    Action i of an episode moves frame i to frame i + 1. That of the last frame, which nothing follows, is 0.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of an episode, one more than its steps.
        fps: Steps per second.
        size: Width and height of the frames in px, even.
    """

    seed: int = 0
    frames: int = 41
    fps: float = 12.0
    size: int = 64

    def prepare(self) -> None:
        """See `Generator`."""
        import_extra("pymunk")

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of an episode."""
        rng = random_of(self.seed, "action", scene)
        task = PushTask(self.size, self.fps)
        policy = PushPolicy(rng, noise=float(rng.uniform()))
        images, states, actions = record_episode(task, policy, int(rng.integers(2**31)), self.frames)
        film = Film(
            name=f"episode_{scene:06d}",
            frames=images,
            conditions={"action": actions, "state": states},
            spec={"action": ACTION_SPEC, "state": STATE_SPEC},
            caption=describe(states),
            listed={"policy_noise": round(policy.noise, 6), "solved": is_solved(states[-1])},
        )
        return [film]


def record_episode(
    task: PushTask, policy: PushPolicy, seed: int, frames: int
) -> tuple[Images, Floats, Floats]:
    """An episode of a policy: images uint8 [t h w 3], states [t 6] and actions [t 2], the last of them 0."""
    image, state = task.reset(seed=seed)
    images, states, actions = [image], [state], []
    for _ in range(frames - 1):
        actions.append(policy(state))
        image, state = task.step(actions[-1])
        images.append(image)
        states.append(state)
    return np.stack(images), np.array(states), np.array([*actions, np.zeros(2)])


def describe(states: Floats) -> str:
    """What happens in an episode, states [t 6], in a sentence."""
    moved = states[-1, 2:4] - states[0, 2:4]
    if np.hypot(*moved) < _MOVED:
        return "A blue disc moves on a table and does not push the red puck."
    axis = int(np.abs(moved).argmax())
    direction = (("left", "right"), ("down", "up"))[axis][int(moved[axis] > 0)]
    goal = " into the green goal" if is_solved(states[-1]) else ""
    return f"A blue disc pushes a red puck {direction}{goal}."
