"""Farmland from above, with the shadows of clouds."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, ridge_line
from stages.footage.world import Layer, World, paint_masked, to_uint8
from stages.footage.worlds.sky import apply_light

# Crops and woods: summer, harvest, winter, drought.
SEASONS: tuple[tuple[tuple[Color, ...], tuple[Color, Color]], ...] = (
    (
        ((62, 132, 112), (84, 168, 176), (52, 100, 70), (70, 110, 140), (46, 88, 58)),
        ((14, 34, 22), (48, 92, 66)),
    ),
    (
        ((90, 170, 214), (70, 140, 190), (60, 96, 130), (60, 130, 140), (50, 80, 112)),
        ((16, 46, 60), (40, 96, 140)),
    ),
    (((226, 220, 214), (200, 196, 196), (182, 184, 190), (150, 152, 156)), ((40, 44, 46), (120, 118, 116))),
    (((92, 124, 176), (110, 146, 196), (80, 100, 140), (130, 164, 206)), ((30, 58, 62), (66, 104, 108))),
)


def fields(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Fields with furrows, woods, a river and a road, and the shadows of clouds."""
    import cv2

    wobble = [fractal_noise(rng, height, width, coarse_px=height / 4) * height / 7 for _ in range(2)]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    seeds = rng.random((round(16 * width / height), 2)).astype(np.float32) * (height, width)
    plot = np.zeros((height, width), np.int32)
    nearest = np.full((height, width), np.inf, np.float32)
    for number, (y, x) in enumerate(seeds):
        distance = (rows + wobble[0] - y) ** 2 + 1.6 * (columns + wobble[1] - x) ** 2
        plot[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    crops, leaves = SEASONS[int(rng.integers(len(SEASONS)))]
    crop = np.array(crops, np.float32)[rng.integers(0, len(crops), len(seeds))]
    grain = fractal_noise(rng, height, width, coarse_px=height / 10, roughness=0.85, octaves=8)[..., None]
    angle = rng.random(len(seeds)).astype(np.float32) * np.pi
    furrow = np.sin((rows * np.sin(angle)[plot] + columns * np.cos(angle)[plot]) * (2 * np.pi * 70 / height))
    color = crop[plot] * (0.68 + 0.54 * grain)
    color *= 1 + 0.075 * furrow[..., None]
    edges = cv2.dilate(cv2.Laplacian(plot.astype(np.float32), cv2.CV_32F) ** 2, np.ones((3, 3))) > 0
    color[edges] = color[edges] * 0.45
    wood = np.clip(
        (fractal_noise(rng, height, width, coarse_px=height / 3, roughness=0.62, octaves=8) - 0.66) * 14, 0, 1
    )
    leaf = colorize(fractal_noise(rng, height, width, coarse_px=height / 30, roughness=0.9), leaves)
    color = color * (1 - wood[..., None]) + leaf * wood[..., None]
    along, everywhere = np.arange(width), np.ones((height, width), np.float32)
    for paint, thick, level in (((128, 104, 70), 0.03, 0.3), ((150, 158, 164), 0.014, 0.7)):
        bend = height * (level + 0.35 * (ridge_line(rng, width, coarse_px=height * 1.3, octaves=3) - 0.5))
        line = np.stack([along, bend], axis=1).round().astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        bends, thick_px = [np.ascontiguousarray(line[::8])], max(2, round(height * thick))
        cv2.polylines(mask, bends, False, 255, thick_px, cv2.LINE_AA)
        paint_masked(color, everywhere, mask, np.array(paint, np.float32) * (0.8 + 0.4 * grain))
    shadow = fractal_noise(rng, height, width, coarse_px=height / 2.2, octaves=4)
    veil = np.clip((shadow - 0.55) * 2.5, 0, 0.42)
    dark = np.zeros((height, width, 3), np.uint8)
    return World("fields", (Layer(to_uint8(apply_light(color, light))), Layer(dark, veil, 1.0, drift=0.05)))
