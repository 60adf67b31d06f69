"""The features measure what their names say."""

import numpy as np
import pytest

from stages.shots.features import compute_features


def _features(luma: np.ndarray) -> dict[str, np.ndarray]:
    frames, height, width = luma.shape
    chroma = np.full((frames, max(1, height // 2), max(1, width // 2), 2), 128, np.uint8)
    steps = np.abs(np.diff(luma.astype(int), axis=0, prepend=luma[:1])).mean((1, 2))
    change = np.stack([steps * 0, steps * 0, steps, steps], 1).astype(np.float32)
    values, names = compute_features(luma, chroma, change)
    assert len(set(names)) == len(names) == values.shape[1]
    assert np.isfinite(values).all()
    return dict(zip(names, values.T, strict=True))


def _images(*seeds: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (18, 32)).astype(np.uint8) for seed in seeds]


@pytest.mark.parametrize("shape", [(1, 18, 32), (3, 2, 2), (2, 1, 1), (70, 32, 18)])
def test_any_number_of_frames_and_cells_is_measured(shape: tuple[int, ...]) -> None:
    _features(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))


def test_a_cut_is_a_maximum_and_does_not_return() -> None:
    one, two = _images(1, 2)
    features = _features(np.stack([one] * 40 + [two] * 40))
    assert features["apart 0"].argmax() == 40
    assert features["unrelated 0"][40] > 0.5
    assert features["back 3"][40] == features["apart 0"].max()


def test_after_a_flash_the_image_returns() -> None:
    one, white = _images(1)[0], np.full((18, 32), 255, np.uint8)
    features = _features(np.stack([one] * 40 + [white] * 2 + [one] * 40))
    assert features["apart 0"][40] > 3
    assert features["back 2"][40] == features["back 5"][40] == 0


def test_a_dissolve_is_a_blend_and_a_pan_is_not() -> None:
    one, two = (image.astype(float) for image in _images(1, 2))
    share = np.clip((np.arange(80) - 30) / 20, 0, 1)[:, None, None]
    dissolve = _features((one * (1 - share) + two * share).astype(np.uint8))
    assert dissolve["unblended middle 12"][40] < 0.05
    assert dissolve["blend middle 12"][40] == pytest.approx(0.5, abs=0.05)
    wide = np.random.default_rng(3).integers(0, 256, (18, 200)).astype(np.uint8)
    pan = _features(np.stack([wide[:, k : k + 32] for k in range(80)]))
    assert pan["unblended middle 12"][40] > 0.3


def test_a_wipe_is_a_traveling_front() -> None:
    one, two = np.full((18, 32), 40, np.uint8), np.full((18, 32), 200, np.uint8)
    frames = [np.where(np.arange(32) < k - 30, two, one) for k in range(96)]
    features = _features(np.stack(frames))
    assert features["once 22"][46] > 0.9
    assert features["front across 22"][46] > 0.9
    assert abs(features["front down 22"][46]) < 0.1
