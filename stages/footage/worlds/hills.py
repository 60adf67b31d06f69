"""Mountains in haze above a meadow with trees."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, project_to_floor, ridge_line
from stages.footage.world import Layer, World, mask_below, paint_masked, to_uint8
from stages.footage.worlds.sky import SKIES, apply_light, sky


def hills(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """Sky, two mountain ridges in haze, and a meadow with trees."""
    layers = [Layer(to_uint8(sky(rng, height, width, light)), nearness=0.1, drift=0.01)]
    haze = np.array(SKIES[light][-1], np.float32)
    rocks: tuple[tuple[Color, ...], ...] = (
        ((96, 84, 78), (134, 120, 112), (176, 168, 164)),
        ((38, 62, 52), (54, 98, 84), (86, 138, 122)),
    )
    for number, (level, swing, veil) in enumerate(((0.36, 0.2, 0.5), (0.47, 0.13, 0.22))):
        top = height * (level + swing * (0.5 - ridge_line(rng, width, coarse_px=height * 0.7)))
        stone = fractal_noise(rng, height, width, coarse_px=height / 7, roughness=0.68, octaves=8)
        color = apply_light(colorize(stone, rocks[number]), light) * (1 - veil) + haze * veil
        layers.append(Layer(to_uint8(color), mask_below(top, height), nearness=0.3 + 0.25 * number))
    horizon = 0.56
    meadow = height - round(height * horizon)
    palette: tuple[tuple[Color, ...], ...] = (
        ((20, 58, 44), (44, 104, 84), (70, 150, 132), (110, 184, 178)),
        ((36, 66, 84), (60, 112, 138), (86, 150, 182), (130, 190, 214)),
        ((44, 60, 30), (70, 110, 62), (104, 148, 98), (168, 190, 156)),
        ((150, 146, 140), (196, 192, 188), (222, 218, 214), (244, 242, 240)),
    )
    grass = fractal_noise(rng, meadow * 2, width, coarse_px=meadow / 2.5, roughness=0.72, octaves=9)
    near = apply_light(colorize(grass, palette[int(rng.integers(len(palette)))]), light)
    color = np.repeat(near[:1], height, axis=0)
    color[height - meadow :] = project_to_floor(near, meadow, width, nearness=3)
    alpha = mask_below(np.full(width, height * horizon) - 6 * ridge_line(rng, width, coarse_px=60), height)
    plant_trees(rng, color, alpha, round(height * horizon), light)
    layers.append(Layer(to_uint8(color), alpha, nearness=1.0))
    return World("hills", tuple(layers))


def plant_trees(
    rng: np.random.Generator, color: np.ndarray, alpha: np.ndarray, foot: int, light: str
) -> None:
    """Paint trees onto a layer, the far ones first: a trunk, and a crown lit from the upper left."""
    import cv2

    height, width = alpha.shape
    leaves = fractal_noise(rng, height, width, coarse_px=height / 24, roughness=0.8, octaves=6)
    crown = apply_light(colorize(leaves, ((16, 40, 26), (34, 84, 56), (72, 134, 104))), light)
    for depth in np.sort(rng.random(round(14 * width / height))):
        tall = height * (0.05 + 0.17 * depth) * (0.8 + 0.4 * float(rng.random()))
        side = 2 * round(tall)
        left = int(rng.integers(0, width - side))
        ground = round(foot + depth**2 * (height - foot) * 0.5)
        box = np.s_[ground - round(1.5 * tall) : ground + round(0.5 * tall), left : left + side]
        stem, leafy = np.zeros((2, *alpha[box].shape), np.uint8)
        middle, top = (side // 2, round(1.5 * tall)), (side // 2, round(0.5 * tall))
        cv2.line(stem, middle, top, 255, max(1, round(tall / 14)), cv2.LINE_AA)
        paint_masked(color[box], alpha[box], stem, np.array((30, 44, 58), np.float32))
        for _ in range(9):
            dx, dy = rng.normal(0, 0.13, 2).clip(-0.22, 0.22) * tall
            reach = max(2, round(tall * (0.12 + 0.1 * float(rng.random()))))
            cv2.circle(leafy, (round(side / 2 + dx), round(0.65 * tall + dy)), reach, 255, -1, cv2.LINE_AA)
        shift = np.roll(leafy, (round(tall / 9), round(tall / 9)), (0, 1))
        paint_masked(color[box], alpha[box], leafy, crown[box] * 0.62)
        lit_side = cv2.bitwise_and(leafy, cv2.bitwise_not(shift))
        paint_masked(color[box], alpha[box], lit_side, crown[box] * 1.3)
