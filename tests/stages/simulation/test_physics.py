"""Films of physics: objects move as Newton says, and masks and cameras agree with their positions."""

from typing import Any

import numpy as np
import pytest

from manifests import ClipmillError
from stages.simulation.physics import PhysicsScenes
from stages.simulation.rendering import load_mujoco
from stages.simulation.scenes.physics import SCENES


@pytest.fixture(scope="module", autouse=True)
def mujoco() -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")


def positions(film: Any) -> np.ndarray:
    """Positions of objects, [t objects 3]."""
    return film.conditions["state"].reshape(len(film.frames), -1, 3)


def pixels(film: Any, points: np.ndarray) -> np.ndarray:
    """Where points of the world [n 3] are in the film, [n 2]."""
    pose = film.conditions["camera_pose"][0].reshape(3, 4)
    fx, fy, cx, cy = film.conditions["camera_intrinsics"][0]
    x, y, z = ((points - pose[:, 3]) @ pose[:, :3]).T
    return np.stack([fx * x / z + cx, fy * y / z + cy], -1)


def test_objects_fall_freely_and_each_camera_shows_them_where_they_are() -> None:
    generator = PhysicsScenes(seed=3, frames=8, fps=24.0, cameras=2, scenes=("free_fall",))
    films = generator.simulate(1)
    states = positions(films[0])
    times = np.arange(8) / 24
    in_air = states[:, :, 2] > 0.4
    fallen = states[0, :, 2] - 9.81 * times[:, None] ** 2 / 2
    np.testing.assert_allclose(states[:, :, 2][in_air], fallen[in_air], atol=0.005)
    assert in_air[3].any()
    ys, xs = np.mgrid[:128, :128] + 0.5
    for film in films:
        assert film.masks is not None
        rotation = film.conditions["camera_pose"][0].reshape(3, 4)[:, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        expected = pixels(film, states[3])
        for number in range(states.shape[1]):
            shown = film.masks[3] == number + 1
            if shown.sum() > 30:  # not behind another one
                np.testing.assert_allclose([xs[shown].mean(), ys[shown].mean()], expected[number], atol=2)
    assert not np.array_equal(films[0].frames, films[1].frames)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENES)
def test_every_scene_does_what_its_caption_says(kind: str) -> None:
    [film] = PhysicsScenes(
        seed=5, frames=4, fps=2.0, width=64, height=64, cameras=1, scenes=(kind,)
    ).simulate(2)
    states = positions(film)
    moved = np.linalg.norm(states - states[0], axis=2).max(0)
    assert film.masks is not None
    assert set(np.unique(film.masks)) <= {*range(states.shape[1] + 1)}
    assert film.masks[0].any()
    assert states[:, :, 2].min() > 0
    assert film.caption[0].isupper()
    if kind == "stable_stack":
        assert moved.max() < 0.02
    elif kind in ("unstable_stack", "dominoes"):
        assert moved[-1] > 0.05
        assert states[-1, -1, 2] < states[0, -1, 2] - 0.03
    elif kind == "u_slope":
        assert np.abs(states[:, :, :2]).max() < 1.3
    else:
        assert moved.max() > 0.1


def test_the_same_seed_gives_the_same_film() -> None:
    generator = PhysicsScenes(seed=1, frames=3, width=32, height=32, cameras=1, scenes=("unstable_stack",))
    [one], [two] = generator.simulate(0), generator.simulate(0)
    assert np.array_equal(one.frames, two.frames)
    assert one.masks is not None
    assert two.masks is not None
    assert np.array_equal(one.masks, two.masks)
