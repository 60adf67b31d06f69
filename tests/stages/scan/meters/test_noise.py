"""Noise is measured by its strength, in the flat parts; texture and edges do not count."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def noise(film: Callable[..., Path], scan: Callable[..., ScannedVideo]) -> Callable[..., float]:
    """Return a function: the median of the meter over a losslessly coded video of these images."""

    def measure(images: list[np.ndarray]) -> float:
        scanned = scan(film(images, crf=0), meters=("noise",), stills_per_s=8.0)
        return float(np.nanmedian(read_signals(scanned.signals, ["noise"])["noise"]))

    return measure


def _add_noise(images: Iterator[np.ndarray], sigma: float) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [np.clip(p + rng.normal(0, sigma, (*p.shape[:2], 1)), 0, 255).astype(np.uint8) for p in images]


@pytest.mark.parametrize("size", [(180, 320), pytest.param((720, 1280), marks=pytest.mark.slow), (640, 360)])
def test_noise_strength_is_measured_at_any_size(
    noise: Callable[..., float], moving: Draw, size: tuple[int, int]
) -> None:
    values = [noise(_add_noise(moving(2, 8, size=size), sigma)) for sigma in (0.0, 3.0, 6.0, 12.0)]
    # A level of gray is 219 / 255 levels of coded luma; the flattest fifth is below the mean.
    np.testing.assert_allclose(values[1:], np.array([3, 6, 12]) * 219 / 255, rtol=0.3)
    assert values[0] < 0.7


def test_edges_and_stripes_are_not_noise(noise: Callable[..., float]) -> None:
    across, down = (np.full((120, 160, 3), 60, np.uint8) for _ in range(2))
    across[::3], down[:, ::5] = 190, 120
    assert noise([across] * 8) < 0.3
    assert noise([down] * 8) < 0.3


def test_black_bars_do_not_hide_noise(noise: Callable[..., float], moving: Draw) -> None:
    noisy = _add_noise(moving(2, 8, size=(180, 320)), 8.0)
    for image in noisy:
        image[:50] = image[-50:] = 0
    assert noise(noisy) > 4
    assert noise([np.zeros((120, 160, 3), np.uint8)] * 8) == 0


def test_texture_that_stays_in_the_next_frame_is_not_noise(noise: Callable[..., float], moving: Draw) -> None:
    grass = _add_noise(moving(2, 1, size=(180, 320)), 12.0) * 8
    assert noise(grass) < 0.3
    assert noise(_add_noise(iter(grass), 8.0)) > 4


def test_repeated_frames_do_not_hide_noise(noise: Callable[..., float], moving: Draw) -> None:
    noisy = _add_noise(moving(2, 8, size=(180, 320)), 8.0)
    assert noise([image for image in noisy for _ in range(2)]) == pytest.approx(noise(noisy), rel=0.15)


def test_still_meters_have_values_only_at_stills(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    names = ("blockiness", "colorfulness", "sharpness", "noise")
    meters = ("noise", "blocks", "color", "sharpness")
    scanned = scan(film(_add_noise(moving(1, 13), 5.0), fps=12), meters=meters)
    stored = read_signals(scanned.signals, names)
    values = {name: np.flatnonzero(np.isfinite(stored[name])).tolist() for name in names}
    assert values.pop("noise") == [1, 7]
    assert list(values.values()) == [[0, 6, 12]] * 3
