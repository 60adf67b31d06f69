"""The arm task: what actions do, where things are drawn, how the policy degrades, and what films have."""

from collections.abc import Iterator

import numpy as np
import pytest

from manifests import ClipmillError
from stages.simulation.arm.arm_episodes import ArmEpisodes, describe
from stages.simulation.arm.arm_policy import ArmPolicy
from stages.simulation.arm.arm_task import ARM, CONTACT, MAX_SPEED, PUCK, ArmTask, is_solved
from stages.simulation.rendering import load_mujoco
from stages.simulation.scenes.arm import (
    BASE,
    LINK,
    PUSHER,
    REACH,
    SHOULDER_HEIGHT,
    camera_pose,
    joint_angles,
)

ZEROS = [0.0] * 4  # joint angles of a state that `reset` does not read


@pytest.fixture(scope="module")
def task() -> Iterator[ArmTask]:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    with ArmTask(64, rate=10) as task:
        yield task


def test_without_an_action_nothing_moves(task: ArmTask) -> None:
    first, state = task.reset(seed=3)
    for _ in range(3):
        image, after = task.step([0, 0, 0])
        np.testing.assert_allclose(after, state, atol=1e-9)
        assert np.array_equal(image, first)


def test_an_action_moves_the_tip_by_its_velocity_and_only_a_touch_moves_the_puck(task: ArmTask) -> None:
    _, start = task.reset(state=[*ZEROS, -0.2, 0.1, 0.03, 0.1, -0.1, 0, 0])
    np.testing.assert_allclose(start[4:7], [-0.2, 0.1, 0.03], atol=1e-6)
    for _ in range(5):
        task.advance([0.5, -1.0, 0.25])
    for _ in range(3):
        task.advance([0, 0, 0])
    step = MAX_SPEED * 0.5  # in 5 steps of 0.1 s
    expected = start[4:7] + np.array([0.5, -1.0, 0.25]) * step
    np.testing.assert_allclose(task.state[4:7], expected, atol=1e-3)
    np.testing.assert_allclose(task.state[7:9], [0.1, -0.1], atol=1e-9)
    task.reset(state=[*ZEROS, -CONTACT - 0.01, 0, 0.03, 0, 0, 0.2, 0.1])
    for _ in range(4):
        task.advance([1, 0, 0])
    assert task.state[7] == pytest.approx(4 * MAX_SPEED / 10 - 0.01, abs=0.02)
    assert abs(task.state[8]) < 0.01
    task.reset(state=[*ZEROS, -CONTACT - 0.01, 0, 0.1, 0, 0, 0.2, 0.1])
    for _ in range(4):
        task.advance([1, 0, 0])
    np.testing.assert_allclose(task.state[7:9], 0, atol=1e-9)  # the tip passes over it


def test_the_angles_of_the_joints_bring_the_tip_to_each_corner_of_its_reach() -> None:
    for corner in np.stack(np.meshgrid(*np.array(REACH).T), -1).reshape(-1, 3):
        yaw, shoulder, elbow, wrist = joint_angles(corner)
        away = LINK * (np.cos(shoulder) + np.cos(shoulder + elbow))
        up = SHOULDER_HEIGHT + LINK * (np.sin(shoulder) + np.sin(shoulder + elbow)) - PUSHER
        tip = [away * np.sin(yaw), BASE[1] - away * np.cos(yaw), up]
        np.testing.assert_allclose(tip, corner, atol=1e-9)
        assert shoulder + elbow + wrist == pytest.approx(0)


def test_an_episode_repeats_from_its_seed(task: ArmTask) -> None:
    actions, runs = np.random.default_rng(1).uniform(-1, 1, (6, 3)), []
    for _ in range(2):
        task.reset(seed=5)
        runs.append([task.step(action) for action in actions])
    assert all(
        np.array_equal(a, b) for one, two in zip(*runs, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_noise_makes_the_policy_worse(task: ArmTask) -> None:
    rates = []
    for noise in (0.0, 0.6):
        solved = 0
        for seed in range(4):
            _, state = task.reset(seed)
            policy = ArmPolicy(np.random.default_rng(seed), noise)
            for _ in range(34):
                task.advance(policy(state))
                state = task.state
            solved += is_solved(state)
        rates.append(solved)
    assert rates == [4, 0]


@pytest.mark.parametrize("action", [[1, 0], [np.nan, 0, 0], [[0, 0, 0]]])
def test_a_wrong_action_is_refused(task: ArmTask, action: list[float]) -> None:
    with pytest.raises(ValueError, match="three finite numbers"):
        task.step(action)


def test_a_film_has_its_actions_masks_and_camera(task: ArmTask) -> None:
    episodes = ArmEpisodes(frames=4, size=64, noise=0.0)
    [film] = episodes.simulate(1)
    [again] = episodes.simulate(1)
    assert np.array_equal(film.frames, again.frames)
    assert film.frames.shape == (4, 64, 64, 3)
    assert film.conditions["action"].shape == (4, 3)
    assert not film.conditions["action"][-1].any()
    assert film.spec["action"]["names"] == ["tip_velocity_x", "tip_velocity_y", "tip_velocity_z"]
    assert film.masks is not None
    assert {*np.unique(film.masks)} == {0, ARM, PUCK}
    pose = film.conditions["camera_pose"][0].reshape(3, 4)
    np.testing.assert_allclose(pose, camera_pose())
    fx, fy, cx, cy = film.conditions["camera_intrinsics"][0]
    ys, xs = np.mgrid[:64, :64] + 0.5
    x, y, z = pose[:, :3].T @ (np.append(film.conditions["state"][0, 7:9], 0.025) - pose[:, 3])
    shown = film.masks[0] == PUCK
    seen = [xs[shown].mean(), ys[shown].mean()]
    np.testing.assert_allclose(seen, [fx * x / z + cx, fy * y / z + cy], atol=1)


def test_captions_say_what_happened() -> None:
    states = np.zeros((2, 11))
    states[:, 9:] = 1
    assert describe(states) == "A robot arm moves over a table and does not push the red puck."
    states[1, 7:9] = -0.1, 0.05
    assert describe(states) == "A robot arm pushes a red puck to the left."
    states[1, 7:] = 0.02, 0.1, 0, 0.1
    assert describe(states) == "A robot arm pushes a red puck away from the camera into the green goal."
