"""Changes of light keep the detail of what changes; a subject that jumps, and another shot, do not."""

import numpy as np

from stages.shots.light_changes import is_switched_light, keeps_detail


def thumbnail(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 160, (18, 32)).astype(np.uint8)


def test_light_on_a_part_of_the_picture() -> None:
    before = thumbnail(0)[None]
    after = before.copy()
    after[0, 4:12, 6:20] += 60  # brighter
    assert keeps_detail(before, after)[0]
    assert is_switched_light(before, after)[0]


def test_light_that_turns_is_not_switched() -> None:
    before = thumbnail(0)[None]
    after = before.copy()
    after[:, :, :16] += 40
    after[:, :, 16:] -= 40
    assert keeps_detail(before, after)[0]
    assert not is_switched_light(before, after)[0]


def test_another_picture_keeps_no_detail() -> None:
    before, after = thumbnail(0)[None], thumbnail(1)[None]
    moved = before.copy()
    moved[:, 4:12, 6:20] = after[:, 4:12, 6:20]
    plain = np.full((2, 18, 32), [[[30]], [[200]]], np.uint8)
    assert not keeps_detail(before, after)[0]
    assert not keeps_detail(before, moved)[0]
    assert not keeps_detail(before, before)[0]
    assert not keeps_detail(plain[:1], plain[1:])[0]
