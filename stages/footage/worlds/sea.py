"""Moving water, a distant coast and the sky."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, project_to_floor, ridge_line
from stages.footage.world import Layer, World, mask_below, to_uint8
from stages.footage.worlds.sky import apply_light, sky


def sea(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Sky, a distant coast, and water in two layers that move relative to each other."""
    horizon = 0.46
    foot = round(height * horizon)
    layers = [Layer(to_uint8(sky(rng, height, width, light)), nearness=0.1, drift=0.012)]
    coast = fractal_noise(rng, height, width, coarse_px=height / 12, roughness=0.75, octaves=7)
    top = foot - height * 0.1 * np.clip(ridge_line(rng, width, coarse_px=height * 0.5) - 0.25, 0, 1)
    layers.append(
        Layer(
            to_uint8(apply_light(colorize(coast, ((66, 78, 70), (120, 130, 120))), light)),
            mask_below(top, height),
            0.3,
        )
    )
    blues: tuple[tuple[Color, ...], ...] = (
        ((70, 44, 18), (124, 90, 44), (166, 134, 84), (236, 222, 200)),
        ((66, 58, 30), (112, 108, 58), (150, 150, 100), (228, 226, 206)),
    )
    stops = blues[int(rng.integers(2))]
    for drift, share in ((0.05, None), (-0.1, 0.55)):
        ripple = fractal_noise(
            rng, (height - foot) * 2, width, coarse_px=height / 9, stretch=3.2, roughness=0.75, octaves=8
        )
        wave = project_to_floor(ripple, height - foot, width, nearness=3)
        color = np.zeros((height, width, 3), np.float32)
        color[foot:] = colorize(np.clip(wave * 1.05 - 0.05, 0, 1) ** 1.3, stops)
        alpha = np.zeros((height, width), np.float32)
        alpha[foot:] = 1 if share is None else np.clip((wave - 0.5) * 3, 0, share)
        layers.append(Layer(to_uint8(apply_light(color, light)), alpha, nearness=0.9, drift=drift))
    return World("sea", tuple(layers))
