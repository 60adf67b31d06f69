"""Water in motion, a far coast and the sky."""

import numpy as np

from stages.footage.texture import Colour, fractal, receding, ridge, tint
from stages.footage.world import Layer, World, solid, standing
from stages.footage.worlds.sky import lit, sky


def sea(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Sky, a far coast, and water in two sheets that slide over each other."""
    horizon = 0.46
    foot = round(height * horizon)
    layers = [Layer(solid(sky(rng, height, width, light)), nearness=0.1, drift=0.012)]
    coast = fractal(rng, height, width, coarse_px=height / 12, roughness=0.75, octaves=7)
    top = foot - height * 0.1 * np.clip(ridge(rng, width, coarse_px=height * 0.5) - 0.25, 0, 1)
    layers.append(
        Layer(solid(lit(tint(coast, ((66, 78, 70), (120, 130, 120))), light)), standing(top, height), 0.3)
    )
    blues: tuple[tuple[Colour, ...], ...] = (
        ((70, 44, 18), (124, 90, 44), (166, 134, 84), (236, 222, 200)),
        ((66, 58, 30), (112, 108, 58), (150, 150, 100), (228, 226, 206)),
    )
    stops = blues[int(rng.integers(2))]
    for drift, share in ((0.05, None), (-0.1, 0.55)):
        ripple = fractal(
            rng, (height - foot) * 2, width, coarse_px=height / 9, stretch=3.2, roughness=0.75, octaves=8
        )
        wave = receding(ripple, height - foot, width, nearness=3)
        colour = np.zeros((height, width, 3), np.float32)
        colour[foot:] = tint(np.clip(wave * 1.05 - 0.05, 0, 1) ** 1.3, stops)
        cover = np.zeros((height, width), np.float32)
        cover[foot:] = 1 if share is None else np.clip((wave - 0.5) * 3, 0, share)
        layers.append(Layer(solid(lit(colour, light)), cover, nearness=0.9, drift=drift))
    return World("sea", tuple(layers))
