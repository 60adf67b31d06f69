"""A scripted policy of the arm task, which noise makes worse by degrees."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stages.simulation.arm.arm_task import CONTACT, MAX_SPEED
from stages.simulation.film import Floats
from stages.simulation.scenes.arm import GOAL_RADIUS, PUCK_HALF_HEIGHT, REACH

_CLEARANCE = 0.02  # m; how far from the puck the tip comes down
_OVER = 2 * PUCK_HALF_HEIGHT + 0.035  # m; height at which the tip moves over the puck
_DOWN = 1.6 * PUCK_HALF_HEIGHT  # m; height below which it pushes
_GAIN = 8 / MAX_SPEED  # of actions per m
_SMOOTHNESS = 0.8  # correlation of the noise of an action with that of the action before


def expert_action(state: npt.ArrayLike) -> Floats:
    """The action [3] that brings the tip down behind the puck, pushes the puck to the goal, and lifts it."""
    values = np.asarray(state, np.float64)
    tip, puck, goal = values[4:7], values[7:9], values[9:11]
    to_goal = goal - puck
    distance = float(np.hypot(*to_goal))
    if distance < GOAL_RADIUS / 4:
        return np.array([0.0, 0.0, _speed(_OVER - tip[2])])
    ahead = to_goal / distance
    behind = puck - ahead * (CONTACT + _CLEARANCE)
    offset = tip[:2] - puck
    sideways = offset - (offset @ ahead) * ahead
    is_behind = offset @ ahead < 0 and np.hypot(*sideways) < CONTACT / 3
    if is_behind and tip[2] < _DOWN:  # push, and stay behind it
        speed = min(1.0, distance * _GAIN)
        return np.array([*np.clip(ahead * speed - sideways * _GAIN, -1, 1), _speed(REACH.low[2] - tip[2])])
    step = behind - tip[:2]
    if np.hypot(*step) < CONTACT / 4:  # it is over the place behind the puck
        return np.array([*_toward(step), -1.0 if tip[2] > _DOWN else 0.0])
    if tip[2] < _OVER - 0.01 and np.hypot(*offset) < CONTACT + 3 * _CLEARANCE:  # the puck may be in the way
        return np.array([0.0, 0.0, 1.0])
    return np.array([*_toward(step), _speed(_OVER - tip[2])])


def _speed(distance: float) -> float:
    """The velocity along an axis, for a distance in m."""
    return float(np.clip(distance * _GAIN, -1, 1))


def _toward(step: Floats) -> Floats:
    """The velocity [2] along the straight way [2] in m."""
    velocity = step * _GAIN
    return velocity / max(1.0, float(np.abs(velocity).max()))


@dataclass
class ArmPolicy:
    """The scripted policy, mixed with a random walk: its action is `(1 - noise) * expert + noise * walk`.

    Attributes:
        rng: Random numbers of the walk.
        noise: Share of the walk, 0 (the expert) to 1 (actions that do not depend on the state).
    """

    rng: np.random.Generator
    noise: float = 0.0
    _walk: Floats = field(default_factory=lambda: np.zeros(3), init=False)

    def __call__(self, state: npt.ArrayLike) -> Floats:
        """The next action [3] in -1..1."""
        spread = np.sqrt(1 - _SMOOTHNESS**2)
        self._walk = _SMOOTHNESS * self._walk + spread * self.rng.normal(0, 0.8, 3)
        return np.clip((1 - self.noise) * expert_action(state) + self.noise * self._walk, -1, 1)
