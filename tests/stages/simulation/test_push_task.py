"""The push task: what actions do, where things are drawn, and how the scripted policy degrades with noise."""

import numpy as np
import pytest

from stages.simulation.push_policy import PushPolicy
from stages.simulation.push_task import (
    CONTACT,
    OVERLAP,
    PUCK_RADIUS,
    PUSHER_RADIUS,
    PushTask,
    is_solved,
    to_pixels,
)

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")


def success(noise: float, episodes: int = 10, steps: int = 40) -> float:
    """Share of episodes that end with the puck in the goal."""
    task, solved = PushTask(), 0
    for seed in range(episodes):
        _, state = task.reset(seed)
        policy = PushPolicy(np.random.default_rng(seed), noise)
        for _ in range(steps):
            task.advance(policy(state))
            state = task.state
        solved += is_solved(state)
    return solved / episodes


def test_without_an_action_nothing_moves() -> None:
    task = PushTask()
    first, state = task.reset(seed=3)
    for _ in range(5):
        image, after = task.step([0, 0])
        assert np.array_equal(after, state)
        assert np.array_equal(image, first)


def test_an_action_moves_the_pusher_by_its_velocity_and_only_a_touch_moves_the_puck() -> None:
    task = PushTask(rate=10)
    task.reset(state=[0.5, 0.2, 0.8, 0.8, 0, 0])
    _, state = task.step([-0.5, 1.0])
    np.testing.assert_allclose(state[:2], [0.5 - 0.03, 0.2 + 0.06], atol=1e-12)
    assert np.array_equal(state[2:], [0.8, 0.8, 0, 0])
    task.reset(state=[0.3, 0.5, 0.3 + CONTACT + 0.01, 0.5, 0, 0])
    for _ in range(5):
        _, state = task.step([1, 0])
    assert state[2] > 0.3 + CONTACT + 0.1
    assert state[3] == pytest.approx(0.5)


def test_nothing_leaves_the_table_and_a_stuck_puck_stops_the_pusher() -> None:
    task, rng = PushTask(), np.random.default_rng(0)
    task.reset(seed=0)
    for action in rng.normal(0, 2, (50, 2)).repeat(30, 0):
        task.advance(action)
        pusher, puck = task.state[:2], task.state[2:4]
        assert pusher.min() >= PUSHER_RADIUS - 1e-9
        assert pusher.max() <= 1 - PUSHER_RADIUS + 1e-9
        assert puck.min() >= PUCK_RADIUS - 1e-9
        assert puck.max() <= 1 - PUCK_RADIUS + 1e-9
        assert np.hypot(*(pusher - puck)) > CONTACT - 5 * OVERLAP


def test_an_episode_repeats_from_its_seed_and_from_a_state() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (20, 2))
    runs = []
    for _ in range(2):
        task = PushTask()
        task.reset(seed=5)
        runs.append([task.step(action) for action in actions])
    assert all(
        np.array_equal(a, b) for one, two in zip(*runs, strict=True) for a, b in zip(one, two, strict=True)
    )
    task.reset(state=runs[0][9][1])
    for action in actions[10:]:
        _, state = task.step(action)
    np.testing.assert_allclose(state, runs[0][-1][1], atol=1e-3)


@pytest.mark.parametrize("size", [32, 64])
def test_the_pusher_is_drawn_where_the_state_says(size: int) -> None:
    task = PushTask(size)
    image, state = task.reset(seed=11)
    blue = np.clip(image[..., 2].astype(float) - image[..., 0], 0, None)
    ys, xs = np.mgrid[:size, :size] + 0.5
    center = [(xs * blue).sum() / blue.sum(), (ys * blue).sum() / blue.sum()]
    np.testing.assert_allclose(center, to_pixels(state[:2], size), atol=0.1)


def test_noise_makes_the_policy_worse() -> None:
    rates = [success(noise) for noise in (0, 0.4, 1)]
    assert rates[0] >= 0.9
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] <= 0.1


@pytest.mark.parametrize("action", [[1], [np.nan, 0], [[0, 0]]])
def test_a_wrong_action_is_refused(action: list[float]) -> None:
    task = PushTask()
    task.reset(seed=0)
    with pytest.raises(ValueError, match="two finite numbers"):
        task.step(action)
