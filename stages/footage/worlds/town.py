"""Houses with windows along a street, with a skyline behind them."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, project_to_floor
from stages.footage.world import Layer, World, to_uint8
from stages.footage.worlds.sky import SKIES, apply_light, sky


def town(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Sky, a distant skyline, a row of houses with windows, a sidewalk and a street with markings."""
    layers = [Layer(to_uint8(sky(rng, height, width, light)), nearness=0.1, drift=0.008)]
    horizon = 0.62
    for nearness, low, high, broad in ((0.45, 0.2, 0.42, 0.09), (0.95, 0.24, 0.5, 0.22)):
        color = np.zeros((height, width, 3), np.float32)
        alpha = np.zeros((height, width), np.float32)
        grit = fractal_noise(rng, height, width, coarse_px=height / 6, roughness=0.8, octaves=8)[..., None]
        x = 0
        while x < width:
            wide = round(height * broad * (0.6 + 0.8 * float(rng.random())))
            top = round(height * (horizon - low - (high - low) * float(rng.random())))
            house(rng, color, alpha, (x, top, min(width, x + wide), round(height * horizon)))
            x += wide + round(height * 0.01 * float(rng.integers(0, 3)))
        color *= 0.62 + 0.66 * grit
        veil = np.array(SKIES[light][-1], np.float32) * (0.35 if nearness < 0.5 else 0)
        layers.append(
            Layer(to_uint8(apply_light(color, light) * (0.65 if veil.any() else 1) + veil), alpha, nearness)
        )
    foot = round(height * horizon)
    asphalt = fractal_noise(rng, (height - foot) * 2, width, coarse_px=height / 5, roughness=0.85, octaves=9)
    street = colorize(asphalt, ((58, 56, 54), (88, 86, 84), (128, 126, 124)))
    street[: height // 12] = colorize(
        asphalt[: height // 12], ((120, 124, 128), (150, 156, 160), (186, 190, 194))
    )
    dash = max(8, height // 5)
    for x in range(0, width, dash):
        street[(height - foot) : (height - foot) + max(3, height // 40), x : x + dash // 2] = (206, 214, 216)
    color = np.zeros((height, width, 3), np.float32)
    color[foot:] = project_to_floor(street, height - foot, width, nearness=1.6)
    alpha = np.zeros((height, width), np.float32)
    alpha[foot:] = 1
    layers.append(Layer(to_uint8(apply_light(color, light)), alpha, nearness=1.0))
    return World("town", tuple(layers))


def house(
    rng: np.random.Generator, color: np.ndarray, alpha: np.ndarray, box: tuple[int, int, int, int]
) -> None:
    """Paint one house front with rows of windows, some of them lit."""
    left, top, right, foot = box
    walls: tuple[Color, ...] = (
        (120, 140, 176),
        (150, 168, 190),
        (104, 104, 150),
        (168, 166, 160),
        (110, 128, 134),
    )
    wall = np.array(walls[int(rng.integers(len(walls)))], np.float32)
    color[top:foot, left:right] = wall * (0.8 + 0.4 * float(rng.random()))
    alpha[top:foot, left:right] = 1
    step = max(8, round((foot - top) / max(3, int(rng.integers(4, 9)))))
    pane = max(3, step // 2)
    color[top : top + max(2, step // 8), left:right] *= 0.6
    for y in range(top + step // 3, foot - pane, step):
        for x in range(left + step // 4, right - pane, max(6, round(step * 0.8))):
            glass = (110, 206, 246) if rng.random() < 0.18 else (92, 70, 56)
            color[y : y + pane, x : x + max(2, pane * 2 // 3)] = np.array(glass) * (
                0.7 + 0.5 * float(rng.random())
            )
            color[y + pane : y + pane + max(1, pane // 6), x : x + max(2, pane * 2 // 3)] *= 1.25
