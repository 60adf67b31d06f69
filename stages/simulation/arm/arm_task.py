"""The arm task: a robot arm with a vertical pusher moves a puck to a goal on a table."""

from types import TracebackType

import numpy as np
import numpy.typing as npt

from stages.simulation.film import Floats, Images
from stages.simulation.rendering import MujocoScene
from stages.simulation.scenes.arm import (
    ARM_BODIES,
    CAMERA,
    GOAL_RADIUS,
    JOINTS,
    PUCK_RADIUS,
    REACH,
    TIP_RADIUS,
    build_arm,
    camera_pose,
    joint_angles,
)

MAX_SPEED = 0.4  # m/s of the tip along each axis, for an action of 1
CONTACT = PUCK_RADIUS + TIP_RADIUS
STATE_NAMES = (
    *(f"joint_{name}" for name in JOINTS),
    *("tip_x", "tip_y", "tip_z", "puck_x", "puck_y", "goal_x", "goal_y"),
)
STATE_UNITS = ("rad",) * len(JOINTS) + ("m",) * 7
FRAME = "table: x right, y away from the camera, z up, origin on the table in the middle of the arm's reach"
ACTION_SPEC = {
    "names": ["tip_velocity_x", "tip_velocity_y", "tip_velocity_z"],
    "units": [f"{MAX_SPEED} m/s"] * 3,
    "frame": FRAME,
}
STATE_SPEC = {"names": list(STATE_NAMES), "units": list(STATE_UNITS), "frame": FRAME}
ARM, PUCK = 1, 2  # numbers in masks
_SERVO_S = 1 / 120  # between commands to the servos, at most
_STEPS = 4  # of the physics between commands
_SETTLE_STEPS = 200  # in which the puck sinks into the table by the depth at which it rests
_LEAD = 0.03  # m; how far the commanded tip may be from where the tip is
_AREA = np.array([0.19, 0.1])  # m; x and y of puck and goal at the start, on both sides of the middle
_TIP, _PUCK, _GOAL = slice(4, 7), slice(7, 9), slice(9, 11)


class ArmTask:
    """The environment, with the methods of gymnasium. A step lasts `1 / rate` s.

    A state is float64 [11] (`STATE_NAMES`). An action is [3] in -1..1, the velocity of the tip of the pusher
    in units of `MAX_SPEED`; larger numbers are clipped. Servos turn the four joints so that the tip moves
    so, and the pusher stays vertical. The tip stays in the box `REACH`. Friction stops the puck.

    It is a context manager: it holds a context of OpenGL.
    """

    def __init__(self, size: int = 64, rate: float = 12.0) -> None:
        """Build the scene.

        Args:
            size: Width and height of images in px.
            rate: Steps per second.

        Raises:
            ClipmillError: MuJoCo is not installed, or nothing can be drawn.
        """
        self._commands = int(np.ceil(1 / rate / _SERVO_S))
        self._scene = MujocoScene(build_arm(1 / rate / self._commands / _STEPS), size, size)
        self._scene.place_camera(CAMERA, camera_pose())
        model = self._scene.model
        self._number_of = np.zeros(model.nbody, np.uint8)
        self._number_of[[model.body(name).id for name in ARM_BODIES]] = ARM
        self._number_of[model.body("puck").id] = PUCK
        self._target = np.zeros(3)

    def __enter__(self) -> "ArmTask":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scene.__exit__(kind, error, trace)

    def reset(self, seed: int | None = None, state: npt.ArrayLike | None = None) -> tuple[Images, Floats]:
        """Begin an episode at rest, and return the image uint8 [size size 3] and the state [11].

        Args:
            seed: Decides where tip, puck and goal are. None continues the random numbers of the last seed.
            state: Begins at its tip, puck and goal instead.
        """
        if seed is not None:
            vars(self)["_rng"] = np.random.default_rng(seed)
        start = self._random_state() if state is None else np.array(state, np.float64)
        data = self._scene.reset()
        data.mocap_pos[0, :2] = start[_GOAL]
        data.joint("puck").qpos[:2] = start[_PUCK]
        self._target = np.clip(start[_TIP], *REACH)
        angles = joint_angles(self._target)
        for name, angle in zip(JOINTS, angles, strict=True):
            data.joint(name).qpos[:] = angle
        data.ctrl[:] = angles
        self._scene.step(_SETTLE_STEPS)
        data.joint("puck").qpos[:2], data.qvel[:] = start[_PUCK], 0
        self._scene.forward()
        return self.render(), self.state

    def step(self, action: npt.ArrayLike) -> tuple[Images, Floats]:
        """Apply an action [3] for a step, and return the image and the state after it.

        Raises:
            ValueError: The action is not three finite numbers.
        """
        self.advance(action)
        return self.render(), self.state

    def advance(self, action: npt.ArrayLike) -> None:
        """Apply an action as `step` does, without an image."""
        command = np.asarray(action, np.float64)
        if command.shape != (3,) or not np.isfinite(command).all():
            raise ValueError(f"an action is three finite numbers, not {action!r}")
        data, timestep = self._scene.data, self._scene.model.opt.timestep
        step = np.clip(command, -1, 1) * (MAX_SPEED * timestep * _STEPS)
        for _ in range(self._commands):
            tip = data.site("tip").xpos
            moved = np.clip(self._target + step, *REACH)
            self._target = np.where(step != 0, np.clip(moved, tip - _LEAD, tip + _LEAD), self._target)
            data.ctrl[:] = joint_angles(self._target)
            self._scene.step(_STEPS)
        self._scene.forward()

    @property
    def state(self) -> Floats:
        """The state, float64 [11]."""
        data = self._scene.data
        angles = [data.joint(name).qpos[0] for name in JOINTS]
        puck, goal = data.joint("puck").qpos[:2], data.mocap_pos[0, :2]
        return np.array([*angles, *data.site("tip").xpos, *puck, *goal])

    @property
    def intrinsics(self) -> Floats:
        """fx, fy, cx, cy of the camera in px, [4]."""
        return self._scene.intrinsics(CAMERA)

    def render(self) -> Images:
        """The image of the camera, uint8 [size size 3]."""
        return self._scene.render(CAMERA)

    def render_masks(self) -> Images:
        """What each pixel shows, uint8 [size size]: `ARM`, `PUCK`, or 0 for table and goal."""
        geoms = self._scene.render_geoms(CAMERA)
        return np.where(geoms >= 0, self._number_of[self._scene.model.geom_bodyid[geoms]], 0).astype(np.uint8)

    def _random_state(self) -> Floats:
        """The goal away from the puck, and the tip above the table and not over the puck."""
        rng: np.random.Generator = vars(self).setdefault("_rng", np.random.default_rng())
        low, high = np.array(REACH)
        while True:
            puck, goal, tip = rng.uniform(-_AREA, _AREA), rng.uniform(-_AREA, _AREA), rng.uniform(low, high)
            if np.hypot(*(puck - goal)) > 2 * GOAL_RADIUS and np.hypot(*(puck - tip[:2])) > 1.5 * CONTACT:
                return np.concatenate([np.zeros(len(JOINTS)), tip, puck, goal])


def is_solved(state: npt.ArrayLike) -> bool:
    """Whether the center of the puck is in the goal."""
    values = np.asarray(state)
    return bool(np.hypot(*(values[_PUCK] - values[_GOAL])) < GOAL_RADIUS)
