"""Fractal noise: the stuff that skies, meadows, walls and water are made of.

Value noise summed over octaves, each twice as fine and weaker (Perlin, "An Image
Synthesizer", 1985).
All pictures here are float32 in 0..1, [h w], or colours in blue, green, red order, 0..255, [h w 3].
"""

import numpy as np

Picture = np.ndarray
Colour = tuple[int, int, int]


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    coarse_px: float,
    octaves: int = 6,
    roughness: float = 0.55,
    stretch: float = 1.0,
) -> Picture:
    """Noise in 0..1, [h w], whose largest lumps are `coarse_px` high and `stretch` times as wide."""
    import cv2

    total = np.zeros((height, width), np.float32)
    weight, lump = 1.0, float(coarse_px)
    for _ in range(octaves):
        if lump < 1:
            break
        rows, columns = max(2, round(height / lump) + 1), max(2, round(width / (lump * stretch)) + 1)
        knots = rng.random((rows, columns), dtype=np.float32)
        total += np.float32(weight) * cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= roughness
        lump /= 2
    low, high = np.percentile(total[::4, ::4], (1, 99)).astype(np.float32)
    return np.clip((total - low) / max(high - low, np.float32(1e-6)), 0, 1)


def ridge(
    rng: np.random.Generator, width: int, *, coarse_px: float, octaves: int = 6, roughness: float = 0.5
) -> Picture:
    """A skyline in 0..1, [w]: one line of fractal noise."""
    return fractal(rng, 2, width, coarse_px=coarse_px, octaves=octaves, roughness=roughness)[0]


def tint(picture: Picture, stops: tuple[Colour, ...]) -> Picture:
    """Colours for a picture in 0..1: `stops` lie evenly over 0..1, mixed between. Gives [h w 3] float32."""
    at = np.linspace(0, 1, len(stops), dtype=np.float32)
    table = np.stack(
        [np.interp(np.linspace(0, 1, 256), at, channel) for channel in np.array(stops).T], axis=1
    )
    fine = table.astype(np.float32)
    return fine[np.clip(picture * 255, 0, 255).astype(np.uint8)]


def slope(height: int, width: int) -> Picture:
    """0 at the top, 1 at the bottom, [h w]."""
    return np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, axis=1)


def receding(texture: Picture, height: int, width: int, *, nearness: float = 6.0) -> Picture:
    """The texture laid flat to the horizon, [height width ...]: squeezed at the top, coarse at the bottom."""
    import cv2

    source_height, source_width = texture.shape[:2]
    middle = source_width / 2
    half = width / 2 / nearness
    seen = np.array(
        [[0, 0], [source_width, 0], [middle + half, source_height], [middle - half, source_height]],
        np.float32,
    )
    shown = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    warp = cv2.getPerspectiveTransform(seen, shown)
    return cv2.warpPerspective(
        texture, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
