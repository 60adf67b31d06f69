"""The push task: a disc, the pusher, moves a puck to a goal on a table that is seen from above."""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.simulation.extra import import_extra
from stages.simulation.film import Floats, Images

GOAL = np.array([0.5, 0.5])  # m
GOAL_RADIUS = 0.08  # m; the task is solved while the center of the puck is in it
PUSHER_RADIUS, PUCK_RADIUS = 0.06, 0.08  # m
CONTACT = PUSHER_RADIUS + PUCK_RADIUS
MAX_SPEED = 0.6  # m/s of the pusher, for an action of 1
DAMPING = 0.02  # share of its speed that the puck keeps in a second
SUBSTEPS = 6
OVERLAP = 1e-3  # m; how far the pusher may be inside the puck
STATE_NAMES = ("pusher_x", "pusher_y", "puck_x", "puck_y", "puck_vx", "puck_vy")
STATE_UNITS = ("m", "m", "m", "m", "m/s", "m/s")
FRAME = "table: x right, y up, origin at the lower left corner of the frame, which is 1 m wide and high"
ACTION_SPEC = {"names": ["velocity_x", "velocity_y"], "units": [f"{MAX_SPEED} m/s"] * 2, "frame": FRAME}
STATE_SPEC = {"names": list(STATE_NAMES), "units": list(STATE_UNITS), "frame": FRAME}
_BACKGROUND, _GOAL, _PUCK, _PUSHER = (
    np.array(color, np.float32) for color in ((214, 208, 196), (150, 190, 150), (196, 60, 50), (50, 80, 170))
)
_WALL = 0.5  # m; thickness


@dataclass
class PushTask:
    """The environment, with the methods of gymnasium. A step lasts `1 / rate` s.

    A state is float64 [6]: the positions of pusher and puck and the velocity of the puck (`STATE_NAMES`).
    An action is [2] in -1..1, the velocity of the pusher in units of `MAX_SPEED`; larger numbers are clipped.
    The pusher moves exactly as it is commanded, except that walls, and the puck where it cannot move on,
    stop it. The puck slides, and friction with the table stops it.

    Attributes:
        size: Width and height of images in px.
        rate: Steps per second.
        has_goal: The goal is drawn, and the puck begins away from it. False: an empty table, and the puck
            begins at least 0.3 m from each edge.
    """

    size: int = 64
    rate: float = 12.0
    has_goal: bool = True

    def reset(self, seed: int | None = None, state: npt.ArrayLike | None = None) -> tuple[Images, Floats]:
        """Begin an episode, and return the image uint8 [size size 3] and the state [6].

        Args:
            seed: Decides where pusher and puck are. None continues the random numbers of the last seed.
            state: Begins there instead, such as to plan from a state.
        """
        pymunk = import_extra("pymunk")
        if seed is not None:
            vars(self)["_rng"] = np.random.default_rng(seed)
        start = self._random_state() if state is None else np.array(state, np.float64)
        space = pymunk.Space()
        space.damping, space.collision_slop = DAMPING, 1e-4
        self._pusher = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self._puck = pymunk.Body(mass=1.0, moment=1.0)
        shapes = [pymunk.Circle(self._pusher, PUSHER_RADIUS), pymunk.Circle(self._puck, PUCK_RADIUS)]
        far = 1 + _WALL
        corners = [(-_WALL, -_WALL), (far, -_WALL), (far, far), (-_WALL, far)]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            shapes.append(pymunk.Segment(space.static_body, a, b, _WALL))
        for shape in shapes:
            shape.friction = shape.elasticity = 0.0
        space.add(self._pusher, self._puck, *shapes)
        self._pusher.position, self._puck.position = tuple(start[:2]), tuple(start[2:4])
        self._puck.velocity = tuple(start[4:])
        self._space: Any = space
        return self.render(), self.state

    def step(self, action: npt.ArrayLike) -> tuple[Images, Floats]:
        """Apply an action [2] for a step, and return the image and the state after it.

        Raises:
            ValueError: The action is not two finite numbers.
        """
        self.advance(action)
        return self.render(), self.state

    def advance(self, action: npt.ArrayLike) -> None:
        """Apply an action as `step` does, without an image."""
        command = np.asarray(action, np.float64)
        if command.shape != (2,) or not np.isfinite(command).all():
            raise ValueError(f"an action is two finite numbers, not {action!r}")
        dt = 1 / self.rate / SUBSTEPS
        step_x, step_y = (np.clip(command, -1, 1) * (MAX_SPEED * dt)).tolist()
        low, high = PUSHER_RADIUS, 1 - PUSHER_RADIUS
        for _ in range(SUBSTEPS):
            x, y = self._pusher.position
            to_x, to_y = min(max(x + step_x, low), high), min(max(y + step_y, low), high)
            self._pusher.velocity = ((to_x - x) / dt, (to_y - y) / dt)
            self._space.step(dt)
            self._keep_on_table()
            if (to_x, to_y) != (x, y):
                self._stop_at_puck(x, y)

    def _keep_on_table(self) -> None:
        x, y = self._puck.position
        low, high = PUCK_RADIUS, 1 - PUCK_RADIUS
        if not (low <= x <= high and low <= y <= high):
            self._puck.position = (min(max(x, low), high), min(max(y, low), high))

    def _stop_at_puck(self, before_x: float, before_y: float) -> None:
        """Move the pusher out of a puck that cannot move on, or back to where it was."""
        (x, y), (puck_x, puck_y) = self._pusher.position, self._puck.position
        distance = math.hypot(x - puck_x, y - puck_y)
        if distance >= CONTACT - OVERLAP:
            return
        scale = (CONTACT - OVERLAP) / distance if distance else 0.0
        x, y = puck_x + (x - puck_x) * scale, puck_y + (y - puck_y) * scale
        is_inside = min(x, y) >= PUSHER_RADIUS and max(x, y) <= 1 - PUSHER_RADIUS
        self._pusher.position = (x, y) if is_inside else (before_x, before_y)

    @property
    def state(self) -> Floats:
        """The state, float64 [6]."""
        return np.array([*self._pusher.position, *self._puck.position, *self._puck.velocity])

    def _random_state(self) -> Floats:
        """The puck at least a step away from the goal, and the pusher not on the puck."""
        rng: np.random.Generator = vars(self).setdefault("_rng", np.random.default_rng())
        margin, least = (0.2, 2 * GOAL_RADIUS) if self.has_goal else (0.3, -1.0)
        while True:
            puck, pusher = rng.uniform(margin, 1 - margin, 2), rng.uniform(0.1, 0.9, 2)
            if distance_to_goal(puck) > least and np.hypot(*(pusher - puck)) > CONTACT + 0.02:
                return np.concatenate([pusher, puck, [0.0, 0.0]])

    def render(self) -> Images:
        """The image of the table, uint8 [size size 3]; edges are antialiased."""
        image = self._table.copy()
        for body, radius, color in ((self._puck, PUCK_RADIUS, _PUCK), (self._pusher, PUSHER_RADIUS, _PUSHER)):
            _draw_disc(image, body.position, radius, color)
        return (image + 0.5).astype(np.uint8)

    @cached_property
    def _table(self) -> npt.NDArray[np.float32]:
        image = np.broadcast_to(_BACKGROUND, (self.size, self.size, 3)).copy()
        if self.has_goal:
            _draw_disc(image, tuple(GOAL), GOAL_RADIUS, _GOAL)
        return image


def distance_to_goal(position: npt.ArrayLike) -> float:
    """Distance in m of a point [2] from the center of the goal."""
    return float(np.hypot(*(np.asarray(position) - GOAL)))


def is_solved(state: npt.ArrayLike) -> bool:
    """Whether the puck is in the goal."""
    return distance_to_goal(np.asarray(state)[2:4]) < GOAL_RADIUS


def to_pixels(position: npt.ArrayLike, size: int) -> Floats:
    """x and y in px of points [.. 2] of the table; the center of the first pixel is (0.5, 0.5)."""
    return np.asarray(position, np.float64) * (size, -size) + (0, size)


def _draw_disc(
    image: npt.NDArray[np.float32], center: tuple[float, float], radius: float, color: npt.NDArray[np.float32]
) -> None:
    """Blend a disc into an image; the weight of a pixel is the part of it that the disc covers."""
    size = len(image)
    x, y, extent = center[0] * size, (1 - center[1]) * size, radius * size
    left, top = max(int(x - extent - 1), 0), max(int(y - extent - 1), 0)
    part = image[top : int(y + extent + 2), left : int(x + extent + 2)]
    grid = _grid(size)
    dx, dy = grid[left : left + part.shape[1]] - x, grid[top : top + part.shape[0]] - y
    cover = (extent + 0.5) - np.sqrt(dx * dx + (dy * dy)[:, None])
    np.minimum(np.maximum(cover, 0, out=cover), 1, out=cover)
    part += cover.astype(np.float32)[..., None] * (color - part)


@cache
def _grid(size: int) -> Floats:
    """The centers of pixels."""
    return np.arange(size) + 0.5
