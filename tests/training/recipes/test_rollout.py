"""A rollout shows each frame once, and frame i + 1 is the one that action i leads to."""

import numpy as np
import pytest
import torch

from training.recipes.rollout import Frames, after_given_frames, condition_window, count_frames, roll_out

CHUNK = 9


def truth(actions: torch.Tensor) -> list[float]:
    """A world whose frames show the sum of all actions so far, from 10 on."""
    return [10.0, *(10 + actions.cumsum(0)).tolist()]


@pytest.mark.parametrize("context_frames", [1, 5])
@pytest.mark.parametrize("count", [3, 8, 9, 16, 21, 40])
def test_frames_are_aligned_with_actions(count: int, context_frames: int) -> None:
    actions = torch.randint(1, 4, (count,), generator=torch.Generator().manual_seed(count)).double()
    conditions = {"action": actions[None, :, None]}
    seen = []

    def sample_chunk(number: int, first: int, given: Frames | None) -> Frames:
        """A perfect model: it knows the given frames and the actions of its window, and nothing else."""
        window = condition_window(conditions, first, CHUNK)["action"][0, :, 0]
        shown = np.full(1, 10, np.uint8) if given is None else given[0, :, 0, 0, 0]
        seen.append((number, len(shown)))
        later = shown[-1] + window[len(shown) - 1 :].cumsum(0).numpy()
        frames = np.concatenate([shown, later]).astype(np.uint8)
        assert len(frames) == CHUNK
        return np.tile(frames[None, :, None, None, None], (1, 1, 2, 2, 3))

    video = roll_out(sample_chunk, count_frames(conditions, default=0), context_frames)
    assert video.shape == (1, count + 1, 2, 2, 3)
    assert video[0, :, 0, 0, 0].tolist() == truth(actions)
    assert seen == [(n, 1 if n == 0 else context_frames) for n in range(len(seen))]
    assert len(seen) == 1 + -(-max(0, count + 1 - CHUNK) // (CHUNK - context_frames))


def test_windows_continue_after_the_end_with_the_last_values() -> None:
    conditions = {"action": torch.arange(4.0).reshape(1, 4, 1), "camera_pose": torch.arange(5.0)[None]}
    window = condition_window(conditions, 2, 5)
    assert window["action"].flatten().tolist() == [2, 3, 3, 3]
    assert window["camera_pose"].flatten().tolist() == [2, 3, 4, 4, 4]
    assert count_frames(conditions, default=0) == 5


def test_the_actions_within_a_given_video_are_unknown() -> None:
    action = torch.ones(1, 3, 2)
    known = after_given_frames({"action": action}, 5)["action"]
    assert known.shape == (1, 7, 2)
    assert known.isnan().any(2)[0].tolist() == [True] * 4 + [False] * 3
    assert after_given_frames({"action": action}, 1)["action"] is action
