"""Renders MuJoCo scenes without a display: images, masks, and the exact cameras that see them."""

import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests import ClipmillError
from stages.simulation.extra import import_extra
from stages.simulation.film import Floats, Images

VARIABLE = "MUJOCO_GL"
BACKENDS = ("egl", "osmesa")  # in the order in which they are tried
SUPERSAMPLING = 2  # samples per pixel and axis; they antialias edges
_PROBE = "import mujoco\ncontext = mujoco.GLContext(8, 8)\ncontext.make_current()\ncontext.free()"
_TIMEOUT_S = 120
_FONT_SCALE = 100  # of text that nobody draws
_TO_OPENCV = np.diag([1.0, -1.0, -1.0])  # axes of MuJoCo's cameras (x right, y up, z backward) to OpenCV's


@cache
def load_mujoco() -> Any:
    """Import MuJoCo, and choose before how it draws: the value of MUJOCO_GL, else EGL or OSMesa (printed).

    Raises:
        ClipmillError: MuJoCo is not installed, or nothing can be drawn.
    """
    if VARIABLE not in os.environ and "mujoco" not in sys.modules:
        os.environ[VARIABLE] = choose_backend()
        print(f"MuJoCo draws without a display: {VARIABLE}={os.environ[VARIABLE]}", file=sys.stderr)
    try:
        mujoco = import_extra("mujoco")
        _draw_nothing(mujoco)
    except ClipmillError:
        raise
    except Exception as error:  # each backend has its own
        raise ClipmillError(
            f"MuJoCo cannot draw: {str(error) or type(error).__name__}",
            where=f"{VARIABLE}={os.environ.get(VARIABLE, '')}",
            remedy=f"unset {VARIABLE}, or set it to {' or '.join(BACKENDS)}, before mujoco is imported",
        ) from error
    return mujoco


def _draw_nothing(mujoco: Any) -> None:
    """Create what drawing needs, and free it. GLFW without a display only warns before this fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = mujoco.GLContext(8, 8)
        try:
            context.make_current()
            drawing = mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), _FONT_SCALE)
            drawing.free()
        finally:
            context.free()


def choose_backend() -> str:
    """The first backend of OpenGL that draws without a display; each is tried in a process of its own.

    Raises:
        ClipmillError: None does.
    """
    reasons = []
    for backend in BACKENDS:
        probe = [sys.executable, "-c", _PROBE]
        environment = {**os.environ, VARIABLE: backend}
        done = subprocess.run(
            probe, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        if not done.returncode:
            return backend
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if "No module named 'mujoco'" in reason:
            import_extra("mujoco")
        reasons.append(f"{backend}: {reason}")
    raise ClipmillError(
        f"MuJoCo cannot draw without a display ({'; '.join(reasons)})",
        where="this machine",
        remedy="install EGL or OSMesa; on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri",
    )


class MujocoScene:
    """A MuJoCo model that is drawn by its cameras. A context manager: it holds a context of OpenGL.

    Attributes:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`. Call `forward` after changes.
    """

    def __init__(self, xml: str, width: int, height: int, assets: Mapping[str, bytes] | None = None) -> None:
        """Compile a scene.

        Args:
            xml: The model, as MJCF.
            width: Width of images in px.
            height: Height of images in px.
            assets: Files that the model names.
        """
        self._mujoco = load_mujoco()
        self.model = self._mujoco.MjModel.from_xml_string(xml, dict(assets or {}))
        self.data = self._mujoco.MjData(self.model)
        self.width, self.height = width, height
        quality, view = self.model.vis.quality, self.model.vis.global_
        quality.offsamples = 0
        view.offwidth, view.offheight = width * SUPERSAMPLING, height * SUPERSAMPLING
        self._renderers: dict[str, Any] = {}
        self.forward()

    def __enter__(self) -> "MujocoScene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def forward(self) -> None:
        """Compute what depends on positions, such as poses."""
        self._mujoco.mj_forward(self.model, self.data)

    def reset(self) -> Any:
        """Go back to time 0, and return `data`; call `forward` after changes of it."""
        self._mujoco.mj_resetData(self.model, self.data)
        return self.data

    def step(self, count: int) -> None:
        """Simulate time steps of the model; call `forward` before images and poses are read."""
        self._mujoco.mj_step(self.model, self.data, nstep=count)

    def advance_to(self, time_s: float) -> None:
        """Simulate until a time, to the nearest time step of the model."""
        steps = round((time_s - self.data.time) / self.model.opt.timestep)
        if steps > 0:
            self._mujoco.mj_step(self.model, self.data, nstep=steps)
            self.forward()

    def place_camera(self, camera: str, pose: npt.ArrayLike) -> None:
        """Put a camera of the world at a pose: camera to world [3 4], axes of OpenCV."""
        placed = np.asarray(pose, np.float64)
        quaternion = np.empty(4)
        self._mujoco.mju_mat2Quat(quaternion, (placed[:, :3] @ _TO_OPENCV).reshape(-1))
        number = self.model.camera(camera).id
        self.model.cam_pos[number], self.model.cam_quat[number] = placed[:, 3], quaternion
        self._mujoco.mj_camlight(self.model, self.data)

    def camera_pose(self, camera: str) -> Floats:
        """Camera to world, [3 4], in axes of OpenCV: x right, y down, z forward."""
        found = self.data.camera(camera)
        return np.hstack([found.xmat.reshape(3, 3) @ _TO_OPENCV, found.xpos[:, None]])

    def intrinsics(self, camera: str) -> Floats:
        """fx, fy, cx, cy of a camera in px; the center of the first pixel is (0.5, 0.5)."""
        fovy = np.radians(self.model.cam_fovy[self.model.camera(camera).id])
        focal = self.height / 2 / np.tan(fovy / 2)
        return np.array([focal, focal, self.width / 2, self.height / 2])

    def render(self, camera: str) -> Images:
        """The image of a camera, uint8 [h w 3]."""
        import cv2

        large = self._updated("image", camera).render()
        return np.asarray(cv2.resize(large, (self.width, self.height), interpolation=cv2.INTER_AREA))

    def render_geoms(self, camera: str) -> npt.NDArray[np.int32]:
        """Number of the geom that each pixel's center shows, -1 for none, int32 [h w]."""
        seen = self._updated("geoms", camera).render()
        is_geom = seen[..., 1] == int(self._mujoco.mjtObj.mjOBJ_GEOM)
        return np.where(is_geom, seen[..., 0], -1).astype(np.int32)

    def _updated(self, kind: str, camera: str) -> Any:
        """The renderer of images or of geoms, with the present scene."""
        if kind not in self._renderers:
            scale = SUPERSAMPLING if kind == "image" else 1
            self._renderers[kind] = self._mujoco.Renderer(self.model, self.height * scale, self.width * scale)
            if kind == "geoms":
                self._renderers[kind].enable_segmentation_rendering()
        self._renderers[kind].update_scene(self.data, camera=camera)
        return self._renderers[kind]
