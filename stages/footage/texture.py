"""Textures of skies, meadows, walls and water: fractal noise, gradients and color maps.

Fractal noise is value noise summed over octaves, each of twice the frequency and a lower weight (Perlin, "An
Image Synthesizer", 1985). Images are float32 [h w] in 0..1, or BGR colors [h w 3] in 0..255.
"""

import numpy as np

Image = np.ndarray
Color = tuple[int, int, int]


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    coarse_px: float,
    octaves: int = 6,
    roughness: float = 0.55,
    stretch: float = 1.0,
) -> Image:
    """Noise in 0..1, [h w], whose largest structures are `coarse_px` high and `stretch` times as wide."""
    import cv2

    total = np.zeros((height, width), np.float32)
    weight, period_px = 1.0, float(coarse_px)
    for _ in range(octaves):
        if period_px < 1:
            break
        rows, columns = (
            max(2, round(height / period_px) + 1),
            max(2, round(width / (period_px * stretch)) + 1),
        )
        knots = rng.random((rows, columns), dtype=np.float32)
        total += np.float32(weight) * cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= roughness
        period_px /= 2
    low, high = np.percentile(total[::4, ::4], (1, 99)).astype(np.float32)
    noise: Image = np.clip((total - low) / max(high - low, np.float32(1e-6)), 0, 1)
    return noise


def ridge_line(
    rng: np.random.Generator, width: int, *, coarse_px: float, octaves: int = 6, roughness: float = 0.5
) -> Image:
    """The height of a skyline in 0..1, [w]: one line of fractal noise."""
    line: Image = fractal_noise(rng, 2, width, coarse_px=coarse_px, octaves=octaves, roughness=roughness)[0]
    return line


def colorize(image: Image, stops: tuple[Color, ...]) -> Image:
    """The colors of an image in 0..1, float32 [h w 3]: linear between `stops`, which are evenly spaced."""
    positions = np.linspace(0, 1, len(stops), dtype=np.float32)
    table = np.stack(
        [np.interp(np.linspace(0, 1, 256), positions, channel) for channel in np.array(stops).T], axis=1
    )
    colors: Image = table.astype(np.float32)[np.clip(image * 255, 0, 255).astype(np.uint8)]
    return colors


def vertical_gradient(height: int, width: int) -> Image:
    """0 at the top, 1 at the bottom, [h w]."""
    return np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, axis=1)


def project_to_floor(texture: Image, height: int, width: int, *, nearness: float = 6.0) -> Image:
    """The texture in perspective, as a floor up to the horizon, [height width ...]."""
    import cv2

    source_height, source_width = texture.shape[:2]
    middle = source_width / 2
    half = width / 2 / nearness
    source = np.array(
        [[0, 0], [source_width, 0], [middle + half, source_height], [middle - half, source_height]],
        np.float32,
    )
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    warp = cv2.getPerspectiveTransform(source, target)
    return cv2.warpPerspective(
        texture, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
