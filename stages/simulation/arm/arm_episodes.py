"""Episodes of the arm task: films with the action of each step, the state of arm and puck, and masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.arm.arm_policy import ArmPolicy
from stages.simulation.arm.arm_task import ACTION_SPEC, STATE_SPEC, ArmTask, is_solved
from stages.simulation.film import Film, Floats, camera_spec, random_of
from stages.simulation.rendering import load_mujoco
from stages.simulation.scenes.arm import camera_pose

_MOVED = 0.02  # m; a puck that moved less was not pushed


@dataclass(frozen=True)
class ArmEpisodes:
    """Episodes of the scripted policy with a share of noise that is uniform in 0..`noise`.

    Action i of an episode moves frame i to frame i + 1. That of the last frame, which nothing follows, is 0.
    Masks have 1 for the arm and 2 for the puck. The camera stands still, at the same place in all scenes.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of an episode, one more than its steps.
        fps: Steps per second.
        size: Width and height of the frames in px, even.
        noise: Greatest share of a random walk in the actions.
    """

    seed: int = 0
    frames: int = 41
    fps: float = 12.0
    size: int = 64
    noise: float = 0.5

    def prepare(self) -> None:
        """See `Generator`."""
        load_mujoco()

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of an episode."""
        rng = random_of(self.seed, "arm", scene)
        policy = ArmPolicy(rng, noise=self.noise * float(rng.uniform()))
        actions = np.zeros((self.frames, 3))
        with ArmTask(self.size, self.fps) as task:
            image, state = task.reset(seed=int(rng.integers(2**31)))
            images, states, masks = [image], [state], [task.render_masks()]
            for number in range(self.frames - 1):
                actions[number] = policy(state)
                image, state = task.step(actions[number])
                images.append(image)
                states.append(state)
                masks.append(task.render_masks())
            intrinsics = task.intrinsics
        film = Film(
            name=f"episode_{scene:06d}",
            frames=np.stack(images),
            conditions={
                "action": actions,
                "state": np.array(states),
                "camera_pose": np.tile(camera_pose().reshape(12), (self.frames, 1)),
                "camera_intrinsics": np.tile(intrinsics, (self.frames, 1)),
            },
            spec={"action": ACTION_SPEC, "state": STATE_SPEC, **camera_spec(self.size, self.size)},
            caption=describe(np.array(states)),
            listed={"policy_noise": round(policy.noise, 6), "solved": is_solved(states[-1])},
            masks=np.stack(masks),
        )
        return [film]


def describe(states: Floats) -> str:
    """What happens in an episode, states [t 11], in a sentence; directions are those that the camera sees."""
    moved = states[-1, 7:9] - states[0, 7:9]
    if np.hypot(*moved) < _MOVED:
        return "A robot arm moves over a table and does not push the red puck."
    axis = int(np.abs(moved).argmax())
    direction = (("to the left", "to the right"), ("toward the camera", "away from the camera"))[axis]
    goal = " into the green goal" if is_solved(states[-1]) else ""
    return f"A robot arm pushes a red puck {direction[int(moved[axis] > 0)]}{goal}."
