"""A scripted policy of the push task, which noise makes worse by degrees."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stages.simulation.film import Floats
from stages.simulation.push_task import CONTACT, GOAL, GOAL_RADIUS

_CLEARANCE = 0.03  # m; how far from the puck the pusher walks around it
_SMOOTHNESS = 0.8  # correlation of the noise of an action with that of the action before


def expert_action(state: npt.ArrayLike, goal: npt.ArrayLike = GOAL) -> Floats:
    """The action [2] of a pusher that walks behind the puck and pushes it to a goal [2] in m."""
    pusher, puck = np.asarray(state, np.float64)[:4].reshape(2, 2)
    to_goal = np.asarray(goal) - puck
    distance = float(np.hypot(*to_goal))
    if distance < GOAL_RADIUS / 4:
        return np.zeros(2)
    ahead = to_goal / distance
    offset = pusher - puck
    sideways = offset - (offset @ ahead) * ahead
    if offset @ ahead < 0 and np.hypot(*sideways) < CONTACT / 4:  # behind it: push, and stay behind it
        speed = min(1.0, 6 * distance)
        gap = max(0.0, float(np.hypot(*offset)) - CONTACT)
        return _clip(ahead * (speed + 4 * gap) - 12 * sideways)
    behind = puck - ahead * (CONTACT + _CLEARANCE)
    step = behind - pusher
    near = float(np.hypot(*offset)) - CONTACT - 2 * _CLEARANCE
    if near < 0 and step @ offset < 0:  # the puck is in the way: walk around it
        out = offset / np.hypot(*offset)
        around = np.array([-out[1], out[0]])
        step = around * np.sign(around @ step or 1.0) + out * -10 * near
        return _clip(step / max(np.hypot(*step), 1e-9))
    return _clip(step * 12)


def _clip(action: Floats) -> Floats:
    """The action with its direction and at most the length 1."""
    return action / max(1.0, float(np.hypot(*action)))


@dataclass
class PushPolicy:
    """The scripted policy, mixed with a random walk: its action is `(1 - noise) * expert + noise * walk`.

    Attributes:
        rng: Random numbers of the walk.
        noise: Share of the walk, 0 (the expert) to 1 (actions that do not depend on the state).
        goal: Where the expert pushes the puck, x and y in m.
    """

    rng: np.random.Generator
    noise: float = 0.0
    goal: tuple[float, float] = tuple(GOAL.tolist())
    _walk: Floats = field(default_factory=lambda: np.zeros(2), init=False)

    def __call__(self, state: npt.ArrayLike) -> Floats:
        """The next action [2] in -1..1."""
        spread = np.sqrt(1 - _SMOOTHNESS**2)
        self._walk = _SMOOTHNESS * self._walk + spread * self.rng.normal(0, 0.8, 2)
        action = (1 - self.noise) * expert_action(state, self.goal) + self.noise * self._walk
        return np.clip(action, -1, 1)
