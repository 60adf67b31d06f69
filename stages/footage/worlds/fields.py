"""Farmland seen from above, under the shadows of clouds."""

import numpy as np

from stages.footage.texture import fractal, ridge, tint
from stages.footage.world import Layer, World, blend, solid
from stages.footage.worlds.sky import lit


def fields(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Farmland from above: crooked plots with furrows, woods, a river and a road, and the shadows of clouds."""
    import cv2

    wobble = [fractal(rng, height, width, coarse_px=height / 4) * height / 7 for _ in range(2)]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    seeds = rng.random((round(16 * width / height), 2)).astype(np.float32) * (height, width)
    plot = np.zeros((height, width), np.int32)
    nearest = np.full((height, width), np.inf, np.float32)
    for number, (y, x) in enumerate(seeds):
        distance = (rows + wobble[0] - y) ** 2 + 1.6 * (columns + wobble[1] - x) ** 2
        plot[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    crops = np.array(
        [(62, 132, 112), (84, 168, 176), (52, 100, 70), (120, 176, 204), (70, 110, 140), (46, 88, 58)],
        np.float32,
    )
    grain = fractal(rng, height, width, coarse_px=height / 10, roughness=0.85, octaves=8)[..., None]
    angle = rng.random(len(seeds)).astype(np.float32) * np.pi
    furrow = np.sin((rows * np.sin(angle)[plot] + columns * np.cos(angle)[plot]) * (2 * np.pi * 70 / height))
    colour = crops[rng.integers(0, len(crops), len(seeds))][plot] * (0.6 + 0.7 * grain)
    colour *= 1 + 0.12 * furrow[..., None]
    edges = cv2.dilate(cv2.Laplacian(plot.astype(np.float32), cv2.CV_32F) ** 2, np.ones((3, 3))) > 0
    colour[edges] = colour[edges] * 0.45
    wood = np.clip(
        (fractal(rng, height, width, coarse_px=height / 3, roughness=0.62, octaves=8) - 0.66) * 14, 0, 1
    )
    leaf = tint(
        fractal(rng, height, width, coarse_px=height / 30, roughness=0.9), ((14, 34, 22), (48, 92, 66))
    )
    colour = colour * (1 - wood[..., None]) + leaf * wood[..., None]
    along = np.arange(width)
    for paint, thick, level in (((128, 104, 70), 0.03, 0.3), ((150, 158, 164), 0.014, 0.7)):
        bend = height * (level + 0.35 * (ridge(rng, width, coarse_px=height * 1.3, octaves=3) - 0.5))
        line = np.stack([along, bend], axis=1).round().astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.polylines(
            mask, [np.ascontiguousarray(line[::8])], False, 255, max(2, round(height * thick)), cv2.LINE_AA
        )
        blend(
            colour,
            np.ones((height, width), np.float32),
            mask,
            np.array(paint, np.float32) * (0.8 + 0.4 * grain),
        )
    shadow = fractal(rng, height, width, coarse_px=height / 2.2, octaves=4)
    veil = np.clip((shadow - 0.55) * 2.5, 0, 0.42)
    dark = np.zeros((height, width, 3), np.uint8)
    return World("fields", (Layer(solid(lit(colour, light))), Layer(dark, veil, 1.0, drift=0.05)), 0.5)
