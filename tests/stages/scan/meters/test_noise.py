"""Noise is told by its strength, and from texture and edges, in whatever place of the picture is flat."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.media.signals import read_signals
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]


@pytest.fixture
def noise(film: Callable[..., Path], scan: Callable[..., Scanned]) -> Callable[..., float]:
    """The meter's median over a film of these pictures, coded without loss."""

    def run(pictures: list[np.ndarray]) -> float:
        scanned = scan(film(pictures, crf=0), meters=("noise",), stills_per_s=8.0)
        return float(np.nanmedian(read_signals(scanned.signals, ["noise"])["noise"]))

    return run


def _grainy(pictures: Iterator[np.ndarray], sigma: float) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [np.clip(p + rng.normal(0, sigma, (*p.shape[:2], 1)), 0, 255).astype(np.uint8) for p in pictures]


@pytest.mark.parametrize("size", [(180, 320), (720, 1280), (640, 360)])
def test_its_strength_is_found_at_any_size(
    noise: Callable[..., float], moving: Draw, size: tuple[int, int]
) -> None:
    said = [noise(_grainy(moving(2, 8, size=size), sigma)) for sigma in (0.0, 3.0, 6.0, 12.0)]
    # A level of gray is 219 / 255 levels of luma as coded; the fifth that comes to least lies below the mean.
    np.testing.assert_allclose(said[1:], np.array([3, 6, 12]) * 219 / 255, rtol=0.3)
    assert said[0] < 0.7


def test_edges_and_stripes_are_no_noise(noise: Callable[..., float]) -> None:
    across, down = (np.full((120, 160, 3), 60, np.uint8) for _ in range(2))
    across[::3], down[:, ::5] = 190, 120
    assert noise([across] * 8) < 0.3
    assert noise([down] * 8) < 0.3


def test_black_bars_do_not_hide_it(noise: Callable[..., float], moving: Draw) -> None:
    grainy = _grainy(moving(2, 8, size=(180, 320)), 8.0)
    for picture in grainy:
        picture[:50] = picture[-50:] = 0
    assert noise(grainy) > 4
    assert noise([np.zeros((120, 160, 3), np.uint8)] * 8) == 0


def test_texture_is_there_again_in_the_next_frame(noise: Callable[..., float], moving: Draw) -> None:
    grass = _grainy(moving(2, 1, size=(180, 320)), 12.0) * 8
    assert noise(grass) < 0.3
    assert noise(_grainy(iter(grass), 8.0)) > 4


def test_doubled_frames_do_not_hide_it(noise: Callable[..., float], moving: Draw) -> None:
    grainy = _grainy(moving(2, 8, size=(180, 320)), 8.0)
    assert noise([picture for picture in grainy for _ in range(2)]) == pytest.approx(noise(grainy), rel=0.15)


def test_each_meter_of_stills_speaks_at_its_time(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    names = ("blockiness", "colourfulness", "sharpness", "noise")
    meters = ("noise", "blocks", "colour", "sharpness")
    scanned = scan(film(_grainy(moving(1, 13), 5.0), fps=12), meters=meters)
    stored = read_signals(scanned.signals, names)
    said = {name: np.flatnonzero(np.isfinite(stored[name])).tolist() for name in names}
    assert said.pop("noise") == [1, 7]
    assert list(said.values()) == [[0, 6, 12]] * 3
