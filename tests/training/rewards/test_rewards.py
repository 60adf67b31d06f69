"""Rewards are the stated numbers, and settings that they lack are refused."""

import math

import numpy as np
import pytest

from training.errors import SettingError
from training.rewards.registry import REWARDS, build_reward
from training.rewards.reward import Reward

RED, GREY = (196, 60, 50), 120


def film(*places: tuple[int, int]) -> np.ndarray:
    """A red square of 4 px in grey frames of 16 x 32 px; (x, y) is its upper left corner."""
    frames = np.full((len(places), 16, 32, 3), GREY, np.uint8)
    for frame, (x, y) in zip(frames, places, strict=True):
        frame[y : y + 4, x : x + 4] = RED
    return frames


def test_every_reward_scores_a_batch() -> None:
    videos = np.stack([film((0, 0), (4, 4)), film((8, 8), (8, 8))])
    for name in REWARDS:
        reward = build_reward(name, RED, (0.5, 0.5))
        assert isinstance(reward, Reward)
        scores = reward(videos, videos if reward.needs_references else None)
        assert scores.shape == (2,)
        assert np.isfinite(scores).all()


def test_brightness_and_motion() -> None:
    videos = np.stack([np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 51, np.uint8)])
    assert build_reward("brightness", (), ())(videos, None) == pytest.approx([0, 0.2])
    videos[0, 1] = 255
    assert build_reward("motion", (), ())(videos, None) == pytest.approx([1, 0])


def test_psnr_is_that_of_the_reference() -> None:
    videos = np.full((2, 2, 4, 4, 3), 100, np.uint8)
    references = videos.copy()
    references[1] += 51
    assert build_reward("psnr", (), ())(videos, references) == pytest.approx([60, 20 * math.log10(5)])


def test_the_distance_from_the_goal_is_that_of_the_last_frame() -> None:
    videos = np.stack([film((0, 0), (14, 6)), film((14, 6), (6, 0)), np.full((2, 16, 32, 3), GREY, np.uint8)])
    scores = build_reward("goal_distance", RED, (0.5, 0.5))(videos, None)
    assert scores == pytest.approx([0, -10 / 32, -math.sqrt(2)], abs=1e-6)


def test_a_reward_without_its_settings_is_refused() -> None:
    with pytest.raises(SettingError, match="reward_color has 0 numbers and reward_goal 2"):
        build_reward("goal_distance", (), (0.5, 0.5))
    with pytest.raises(SettingError, match="no reward 'beauty'"):
        build_reward("beauty", (), ())
