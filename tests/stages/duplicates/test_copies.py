"""Copies agree over time; other moments of one take, static cameras and other takes do not."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.duplicates.copies import copy_similarity, signature_of
from stages.duplicates.find_duplicates import FindDuplicates
from stages.media.signals import read_signals, read_thumbnails
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

LIMIT = FindDuplicates.max_copy_similarity
FPS = 24.0
Frames = Sequence[np.ndarray]  # uint8 [h w]


def _texture(rng: np.random.Generator) -> np.ndarray:
    """A picture of several scales, uint8 [160 320]."""
    sizes = ((4, 1.0), (12, 0.7), (40, 0.4))
    parts = [weight * cv2.resize(rng.normal(size=(n, 2 * n)), (320, 160)) for n, weight in sizes]
    return np.clip(127 + 45 * np.sum(parts, axis=0), 0, 255).astype(np.uint8)


def _take(seed: int, seconds: float = 8.0, pan: float = 0.0) -> list[np.ndarray]:
    """Three discs that wander, before a static camera or one that pans: [72 128] each."""
    rng = np.random.default_rng(seed)
    background, knots = _texture(np.random.default_rng(7)), np.arange(round(seconds) + 1)
    places = rng.uniform((10, 8), (118, 64), (3, len(knots), 2))
    frames = []
    for k in range(round(seconds * FPS)):
        left = round(pan * k)
        image = background[40:112, left : left + 128].copy()
        for disc in range(3):
            x, y = (np.interp(k / FPS, knots, places[disc, :, axis]) for axis in (0, 1))
            cv2.circle(image, (round(x), round(y)), 9, 30 + 100 * disc, -1, cv2.LINE_AA)
        frames.append(image)
    return frames


def _signature(frames: Frames, fps: float = FPS) -> bytes:
    cells = np.stack([cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA) for frame in frames])
    return signature_of(cells, np.arange(len(cells)) / fps, 0.0, len(cells) / fps)


def _noisy(frames: Frames, deviation: float) -> Frames:
    rng = np.random.default_rng(0)
    return [np.clip(f + rng.normal(0, deviation, f.shape), 0, 255).astype(np.uint8) for f in frames]


EDITS: dict[str, Callable[[Frames], tuple[Frames, float]]] = {
    "noise": lambda f: (_noisy(f, 9), FPS),
    "gamma": lambda f: ([(255 * (i / 255) ** 0.75).astype(np.uint8) for i in f], FPS),
    "cropped": lambda f: ([i[4:68, 6:122] for i in f], FPS),
    "a corner cropped": lambda f: ([i[7:, :116] for i in f], FPS),
    "logo": lambda f: ([cv2.rectangle(i.copy(), (100, 4), (122, 18), 255, -1) for i in f], FPS),
    "faster": lambda f: ([f[int(1.25 * k)] for k in range(int(len(f) / 1.25))], FPS),
    "slower": lambda f: ([f[int(0.8 * k)] for k in range(int(len(f) / 0.8))], FPS),
    "start trimmed": lambda f: (f[len(f) // 5 :], FPS),
    "end trimmed": lambda f: (f[: len(f) * 4 // 5], FPS),
    "another rate": lambda f: (f[::2], FPS / 2),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("pan", [0.0, 0.8])
def test_edited_copies_are_found(edit: str, pan: float) -> None:
    frames = _take(1, pan=pan)
    one, copy = _signature(frames), _signature(*EDITS[edit](frames))
    assert copy_similarity(one, copy) >= LIMIT
    assert copy_similarity(copy, one) >= LIMIT


@pytest.mark.parametrize("pan", [0.0, 0.5])
def test_other_moments_and_takes_are_no_copies(pan: float) -> None:
    takes = [_take(seed, 12.0, pan) for seed in (1, 2, 3)]
    half = len(takes[0]) // 2
    for take in takes:
        assert copy_similarity(_signature(take[:half]), _signature(take[half:])) < LIMIT
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert copy_similarity(_signature(takes[one]), _signature(takes[other])) < LIMIT


def test_windows_of_one_slow_pan_are_no_copies_and_a_noisy_copy_is() -> None:
    """All windows change in the same way, so they agree; but less than copies do."""
    world, size = _texture(np.random.default_rng(7)), (320, 160)
    shifts = [np.array([[1, 0, -k / 16], [0, 1, 0]]) for k in range(144)]
    frames = [cv2.warpAffine(world, shift, size)[40:112, 60:188] for shift in shifts]
    windows = [frames[start : start + 48] for start in (0, 48, 96)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert copy_similarity(_signature(windows[one]), _signature(windows[other])) < LIMIT
        assert copy_similarity(_signature(windows[one]), _signature(_noisy(windows[one], 9))) >= LIMIT


def test_a_long_clip_is_compared_as_a_whole() -> None:
    frames, fps = _take(4, 60.0)[::2], FPS / 2
    one, trimmed = _signature(frames, fps), _signature(frames[len(frames) // 5 :], fps)
    assert len(one) < 10_000
    assert copy_similarity(one, trimmed) >= LIMIT
    half = len(frames) // 2
    assert copy_similarity(_signature(frames[:half], fps), _signature(frames[half:], fps)) < LIMIT


def test_of_still_clips_the_picture_decides() -> None:
    rng = np.random.default_rng(3)
    one, other = _texture(rng)[:72, :128], _texture(rng)[:72, :128]
    still = _signature([one] * 60)
    assert copy_similarity(still, _signature(_noisy([one] * 80, 4))) >= LIMIT
    assert copy_similarity(still, _signature([other] * 60)) < 0.1
    assert copy_similarity(still, _signature(_take(1))) < LIMIT


def test_a_clip_without_frames_copies_nothing() -> None:
    nothing = signature_of(np.zeros((0, 18, 32), np.uint8), np.zeros(0), 0.0, 1.0)
    assert copy_similarity(nothing, nothing) == copy_similarity(nothing, _signature(_take(1, 2.0))) == 0.0
    one = _signature(_take(1, 2.0)[:1])
    assert copy_similarity(one, one) == 1.0
    assert copy_similarity(one, _signature(_take(1, 2.0))) == 0.0


def test_real_takes_of_one_scene_are_no_copies_and_an_encoded_one_is() -> None:
    root = Path(os.environ.get("CLIPMILL_FOOTAGE", Path(__file__).parents[4] / "shared" / "footage"))
    if not (root / "odd").is_dir():
        pytest.skip(f"no real footage at {root}; set CLIPMILL_FOOTAGE")

    def signature(name: str) -> bytes:
        [row] = ScanVideo(meters=()).annotate([ListedVideo(uri=str(root / name))])
        assert isinstance(row, ScannedVideo), row
        times_s = read_signals(row.signals, ["time_s"])["time_s"]
        return signature_of(read_thumbnails(row.signals)[0], times_s, 0.0, row.scanned_s)

    assert copy_similarity(signature("odd/mdnie__flower.webm"), signature("single/mdnie__flower.mp4")) > 0.9
    for one, other in (("odd/cp1__0.mp4", "odd/cp1__1.mp4"), ("odd/cp1__6.mp4", "odd/cp1__7.mp4")):
        assert copy_similarity(signature(one), signature(other)) < LIMIT - 0.2


def test_images_of_one_picture_are_copies() -> None:
    def signature(image: np.ndarray) -> bytes:
        return signature_of(image[None], np.zeros(1), 0.0, 0.0)

    image, other = (_texture(np.random.default_rng(seed)) for seed in (1, 2))
    encoded = cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_GRAYSCALE)
    assert copy_similarity(signature(image), signature(encoded)) > 0.95
    assert copy_similarity(signature(image), signature(cv2.resize(image, (200, 100)))) > 0.95
    assert copy_similarity(signature(image), signature(other)) < LIMIT / 2
