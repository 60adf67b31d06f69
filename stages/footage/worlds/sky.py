"""The sky and the light that it throws on everything below."""

import numpy as np

from stages.footage.texture import Colour, fractal, slope, tint

SKIES: dict[str, tuple[Colour, ...]] = {
    "noon": ((196, 122, 52), (226, 172, 110), (238, 214, 182)),
    "dawn": ((150, 104, 92), (150, 150, 208), (168, 206, 246)),
    "dusk": ((112, 60, 62), (92, 92, 176), (92, 160, 240)),
    "grey": ((150, 142, 134), (176, 170, 164), (206, 204, 200)),
}
LIGHT: dict[str, tuple[float, float, float]] = {
    "noon": (1.0, 1.0, 1.0),
    "dawn": (0.88, 0.95, 1.06),
    "dusk": (0.72, 0.78, 0.98),
    "grey": (0.96, 0.92, 0.88),
}


def lit(colour: np.ndarray, light: str) -> np.ndarray:
    """The colours under that light."""
    return colour * np.array(LIGHT[light], np.float32)


def sky(rng: np.random.Generator, height: int, width: int, light: str) -> np.ndarray:
    """A graded sky with two kinds of cloud, [h w 3]."""
    ground = tint(slope(height, width) ** 1.4, SKIES[light])
    clouds = fractal(rng, height, width, coarse_px=height / 3.2, stretch=2.4, roughness=0.6)
    cover = np.clip((clouds - 0.5) * 3.2, 0, 0.92)[..., None]
    shade = fractal(rng, height, width, coarse_px=height / 8, stretch=1.8)
    white = tint(0.35 + 0.65 * shade, ((150, 138, 130), (214, 208, 204), (250, 250, 250)))
    return ground * (1 - cover) + lit(white, light) * cover
