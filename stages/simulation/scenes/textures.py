"""Textures of simulated surfaces: patches and noise in a named color, on which features are found."""

import colorsys

import numpy as np

from stages.simulation.film import Floats

HUES = {  # name of a color: hue in turns
    "red": 0.0, "orange": 0.08, "yellow": 0.15, "green": 0.35, "blue": 0.6, "purple": 0.77, "pink": 0.9,
}  # fmt: skip
SIZE = 192  # px
_OCTAVES = (3, 6, 12, 24, 48, 96)  # cells of noise per side


def texture(rng: np.random.Generator, color: str = "", size: int = SIZE) -> bytes:
    """A texture as PNG: three tones of a color, or of pale colors if there is none, in patches with noise."""
    import cv2

    hue, saturation = rng.uniform(), rng.uniform(0.1, 0.4)
    hues, saturations = [hue, hue + 0.1, hue + 0.5], [saturation] * 3
    if color:
        hues, saturations = [HUES[color]] * 3, [0.85, 0.75, 0.5]
    values = (0.55, 0.8, 1.0)
    tones = np.array(
        [colorsys.hsv_to_rgb(h % 1, s, v) for h, s, v in zip(hues, saturations, values, strict=True)]
    )
    patches = (_noise(rng, size)[..., None] > np.sort(rng.uniform(0.3, 0.75, 2))).sum(-1)
    image = tones[patches] * (0.75 + 0.35 * _noise(rng, size)[..., None])
    encoded, data = cv2.imencode(".png", np.asarray(np.clip(image, 0, 1) * 255 + 0.5, np.uint8)[..., ::-1])
    assert encoded
    return data.tobytes()


def _noise(rng: np.random.Generator, size: int) -> Floats:
    """Noise in 0..1 with cells of all sizes, [size size]."""
    import cv2

    total = np.zeros((size, size), np.float32)
    for number, cells in enumerate(_OCTAVES):
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR) * np.float32(0.8**number)
    low, high = np.quantile(total, (0.02, 0.98))
    return np.asarray(np.clip((total.astype(np.float64) - low) / (high - low), 0, 1))
