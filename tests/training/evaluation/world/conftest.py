"""Films of a textured plane from a moving camera, and of a disc that moves, with their sidecars."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.world.room import camera_path
from stages.conditions.sidecar import write_conditions
from training.metrics.world.epipolar import intrinsics_matrix
from training.recipes.sampling import write_video

Frames = np.ndarray
H, W, FPS = 96, 128, 8.0
INTRINSICS = np.array([100.0, 100.0, W / 2, H / 2])
RED = (200.0, 40.0, 40.0)


def plane_film(seed: int, poses: np.ndarray) -> Frames:
    """A textured plane, 2 m in front of the first camera, [t h w 3]."""
    rng = np.random.default_rng(seed)
    size, meters = 768, 8.0
    texture = np.zeros((size, size, 3), np.float32)
    for cells in (24, 48, 96, 192):
        noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        texture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) / 4
    texture = np.clip(128 + 1.6 * (texture - 128), 0, 255)
    k, frames = intrinsics_matrix(INTRINSICS), []
    # Of texels to the plane at z = -1; the path starts at z = -3.
    to_plane = np.array([[meters / size, 0, -meters / 2], [0, meters / size, -meters / 2], [0, 0, -1.0]])
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    for pose in poses:
        local = pose[:, :3].T @ (to_plane - pose[:, 3:] @ np.array([[0, 0, 1.0]]))
        frames.append(
            cv2.warpPerspective(texture, half @ k @ local @ np.linalg.inv(half), (W, H), flags=cv2.INTER_AREA)
        )
    return np.stack(frames).round().astype(np.uint8)


def disc_film(places: np.ndarray, size: int = 64) -> Frames:
    """A red disc with soft edges on a gray ground with a texture; places [t 2] are px."""
    ground = np.kron(np.random.default_rng(0).uniform(90, 160, (16, 16)), np.ones((4, 4)))[..., None]
    y, x = (np.arange(size) + 0.5)[:, None], np.arange(size) + 0.5
    covers = [np.clip(8.5 - np.hypot(x - cx, y - cy), 0, 1)[..., None] for cx, cy in places]
    return np.stack([(ground * (1 - c) + np.array(RED) * c + 0.5).astype(np.uint8) for c in covers])


def write_clip(
    file: Path,
    film: Frames,
    poses: np.ndarray | None = None,
    state: np.ndarray | None = None,
    fps: float = FPS,
) -> None:
    """Write a film, and its conditions if there are any."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_video(film, fps, file)
    columns, spec = {}, {"rate": fps}
    if poses is not None:
        columns["camera_pose"] = poses.reshape(len(poses), 12)
        columns["camera_intrinsics"] = np.tile(INTRINSICS, (len(poses), 1))
        spec |= {"camera_pose": {"unit": "m"}, "camera_intrinsics": {"width": W, "height": H}}
    if state is not None:
        columns["state"] = state
        spec |= {"state": {"names": ["puck_x", "puck_y"], "units": ["m", "m"], "frame": "table"}}
    if columns:
        write_conditions(file, np.arange(len(film)) / fps, columns, spec)


@pytest.fixture(scope="session")
def camera_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `truth` and `made`: three paths of a camera, and films that follow them with noise."""
    folder = tmp_path_factory.mktemp("camera")
    rng = np.random.default_rng(5)
    for number, kind in enumerate(("left", "forward", "arc")):
        poses = camera_path(kind, 13, 2.0)
        film = plane_film(number, poses)
        write_clip(folder / "truth" / f"{kind}.mp4", film, poses)
        noisy = np.clip(film + rng.normal(0, 3, film.shape), 0, 255).round().astype(np.uint8)
        write_clip(folder / "made" / f"{kind}.mp4", noisy)
    return folder


@pytest.fixture(scope="session")
def push_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `truth`, `made` (1 px off) and `shuffled` (another direction): a disc that moves."""
    folder = tmp_path_factory.mktemp("push")
    for number in range(4):
        angle = 1.57 * number + 0.3
        step = 1.8 * np.array([np.cos(angle), np.sin(angle)])
        places = 32 + np.arange(10)[:, None] * step
        other = 32 - np.arange(10)[:, None] * step
        film = disc_film(places)
        state = places * (1 / 64, -1 / 64) + (0, 1)
        write_clip(folder / "truth" / f"push_{number}.mp4", film, state=state)
        np.savez_compressed(
            folder / "truth" / f"push_{number}.masks.npz",
            masks=(np.linalg.norm(film - np.array(RED), axis=-1) < 60).astype(np.uint8),
        )
        off = places + (np.arange(10) > 0)[:, None] * (0, 1.0)
        for seed in range(2 if number == 0 else 1):
            write_clip(folder / "made" / f"push_{number}__{seed}.mp4", disc_film(off))
        write_clip(folder / "shuffled" / f"push_{number}.mp4", disc_film(other))
    return folder


@pytest.fixture
def film_tools() -> tuple[Callable[..., Frames], Callable[..., None]]:
    """`plane_film` and `write_clip`."""
    return plane_film, write_clip
