"""Films of cameras: poses are rotations and exact, points of the world are where the image shows them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from manifests import ClipmillError
from stages.simulation import rendering
from stages.simulation.camera import CLEARANCE, CameraRooms
from stages.simulation.film import random_of
from stages.simulation.rendering import MujocoScene, load_mujoco
from stages.simulation.scenes.rooms import build_room
from stages.simulation.scenes.trajectories import MOTIONS, Start, camera_trajectory, look

MARKER = np.array([0.4, -0.3, 0.7])
MARKER_XML = f"""<mujoco><visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
<worldbody><camera name="camera" fovy="55"/><geom name="marker" type="sphere" size=".03" rgba="1 0 0 1"
  pos="{" ".join(map(str, MARKER))}"/></worldbody></mujoco>"""


@pytest.fixture(scope="module", autouse=True)
def mujoco() -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")


def project(points: np.ndarray, pose: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pixels [n 2] of points of the world [n 3], by the formula that readers of poses use."""
    fx, fy, cx, cy = intrinsics
    x, y, z = ((points - pose[:, 3]) @ pose[:, :3]).T
    return np.stack([fx * x / z + cx, fy * y / z + cy], -1)


@pytest.mark.parametrize("motion", MOTIONS)
def test_poses_are_rotations_and_move_as_their_name_says(motion: str) -> None:
    poses = camera_trajectory(motion, Start([1, 2, 1.5], 0.7, -0.2), np.linspace(0, 0.8, 9))
    rotations = poses[:, :, :3]
    assert np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)
    right, down, ahead = rotations[0].T @ (poses[-1, :, 3] - poses[0, :, 3])
    turned = (rotations[0].T @ rotations[-1])[0, 2]  # of the direction of view to the right
    moved = {"forward": ahead, "backward": -ahead, "left": -right, "right": right, "arc_left": -right,
             "arc_right": right, "rotate_left": -turned, "rotate_right": turned}  # fmt: skip
    assert moved[motion] > 0.5
    assert abs(down) < 0.25
    path = np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1).sum()
    assert path == pytest.approx(0 if motion.startswith("rotate") else 0.8, rel=0.01)


def test_relative_poses_do_not_depend_on_the_world() -> None:
    """A rigid transform of the world leaves the poses relative to the first one as they are."""
    poses = camera_trajectory("arc_left", Start([1, 2, 1.5], 0.7), np.linspace(0, 1, 5))
    world = look([3, -1, 0.4], 1.1, 0.3)
    moved = np.concatenate([world[:, :3] @ poses[:, :, :3], world[:, :3] @ poses[:, :, 3:] + world[:, 3:]], 2)
    for pose, other in zip(poses, moved, strict=True):
        np.testing.assert_allclose(
            poses[0, :, :3].T @ (pose[:, 3] - poses[0, :, 3]),
            moved[0, :, :3].T @ (other[:, 3] - moved[0, :, 3]),
            atol=1e-9,
        )
        np.testing.assert_allclose(
            poses[0, :, :3].T @ pose[:, :3], moved[0, :, :3].T @ other[:, :3], atol=1e-9
        )


def test_a_point_of_the_world_is_where_the_camera_projects_it() -> None:
    poses = [
        look([-1.2, 0.1, 0.5], 0.1, -0.05),
        look([0.3, 1.4, 1.1], -1.3, -0.3),
        look([1.5, -1, 0.9], 2.4, 0.1),
    ]
    with MujocoScene(MARKER_XML, 160, 120) as scene:
        for pose in poses:
            scene.place_camera("camera", pose)
            np.testing.assert_allclose(scene.camera_pose("camera"), pose, atol=1e-6)
            [expected] = project(MARKER[None], pose, scene.intrinsics("camera"))
            image, shown = scene.render("camera"), scene.render_geoms("camera") == 0
            red = image[..., 0].astype(float)
            ys, xs = np.mgrid[:120, :160] + 0.5
            center = [(xs * red).sum() / red.sum(), (ys * red).sum() / red.sum()]
            np.testing.assert_allclose(center, expected, atol=0.2)
            np.testing.assert_allclose([xs[shown].mean(), ys[shown].mean()], expected, atol=0.5)


def test_a_room_is_filmed_with_its_poses_and_without_touching_anything() -> None:
    rooms = CameraRooms(seed=1, frames=5, width=96, height=64, motions=("arc_left",))
    [film], [again] = rooms.simulate(3), rooms.simulate(3)
    assert film.frames.shape == (5, 64, 96, 3)
    assert np.array_equal(film.frames, again.frames)
    assert film.caption == again.caption
    assert film.caption.startswith("The camera circles to the left in a room with ")
    assert film.frames.std((1, 2)).min() > 10
    poses = film.conditions["camera_pose"].reshape(-1, 3, 4)
    room = build_room(random_of(1, "camera", 3))
    assert room.clearance(poses[:, :, 3]) > CLEARANCE
    assert not np.array_equal(film.frames, rooms.simulate(4)[0].frames)


@pytest.mark.parametrize("value", ["no_backend", "glfw", ""])
def test_what_draws_without_a_display_is_chosen_and_wrong_choices_are_refused(value: str) -> None:
    code = "import os; from stages.simulation.rendering import load_mujoco\nload_mujoco()\n"
    code += "print(os.environ['MUJOCO_GL'])"
    environment = {
        name: text for name, text in os.environ.items() if name not in (rendering.VARIABLE, "DISPLAY")
    }
    environment |= {rendering.VARIABLE: value} if value else {}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if value:
        assert done.returncode
        assert "MuJoCo cannot draw: " in done.stderr
        assert "remedy: unset MUJOCO_GL, or set it to egl or osmesa" in done.stderr
    else:
        assert done.stdout.strip() in rendering.BACKENDS
        assert f"MUJOCO_GL={done.stdout.strip()}" in done.stderr


def test_the_package_imports_no_simulator() -> None:
    code = "import sys, stages.simulation.camera, stages.simulation.action, stages.simulation.verb\n"
    code += "assert not {'mujoco', 'pymunk', 'cv2', 'OpenGL'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
