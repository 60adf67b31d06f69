"""Exposure and flicker are separate, ignore scenes that change, and do not depend on the frame rate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from stages.quality.measure_light import Clip, Light, MeasureLight


@pytest.fixture
def light(stored: Callable[..., Artifact]) -> Callable[..., Light]:
    def run(mean: Any, fps: float = 25.0, spread: float = 0.2) -> Light:
        shares = {name: np.zeros(len(mean)) for name in ("clipped_dark", "clipped_bright")}
        signals = stored(
            np.arange(len(mean)) / fps, light_mean=mean, light_spread=np.full(len(mean), spread), **shares
        )
        clip = Clip(signals=signals, start_frame=0, end_frame=len(mean), duration_s=len(mean) / fps)
        [row] = MeasureLight().annotate([clip])
        return row

    return run


def test_a_night_with_lamps_has_brighter_highlights_than_a_dark_image(light: Callable[..., Light]) -> None:
    night, dark = light(np.full(50, 0.1), spread=0.15), light(np.full(50, 0.1), spread=0.02)
    assert night.light_mean == dark.light_mean
    assert night.highlight_luma == pytest.approx(0.4)
    assert dark.highlight_luma == pytest.approx(0.14)


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_flicker_depends_on_the_amplitude_and_not_on_the_brightness(
    light: Callable[..., Light], fps: float
) -> None:
    times = np.arange(int(3 * fps)) / fps
    values = [
        light(0.4 * (1 + swing * np.sin(2 * np.pi * 9 * times)), fps).flicker for swing in (0, 0.05, 0.2)
    ]
    assert values == pytest.approx([0, 0.05 / 2**0.5, 0.2 / 2**0.5], abs=0.02)
    dim = light(0.1 * (1 + 0.2 * np.sin(2 * np.pi * 9 * times)), fps).flicker
    assert dim == pytest.approx(values[2], rel=0.01)


def test_a_flash_and_a_sunrise_do_not_flicker(light: Callable[..., Light]) -> None:
    flash, sunrise = np.full(75, 0.3), np.linspace(0.1, 0.8, 75)
    flash[40:43] = 1.0
    assert light(flash).flicker < 0.005
    assert light(sunrise).flicker < 0.005
    assert light(np.array([0.2, 0.9])).flicker == 0
