"""The sky and its light on the world below."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, vertical_gradient

SKIES: dict[str, tuple[Color, ...]] = {
    "noon": ((196, 122, 52), (226, 172, 110), (238, 214, 182)),
    "dawn": ((150, 104, 92), (150, 150, 208), (168, 206, 246)),
    "dusk": ((112, 60, 62), (92, 92, 176), (92, 160, 240)),
    "gray": ((150, 142, 134), (176, 170, 164), (206, 204, 200)),
}
LIGHT: dict[str, tuple[float, float, float]] = {
    "noon": (1.0, 1.0, 1.0),
    "dawn": (0.88, 0.95, 1.06),
    "dusk": (0.72, 0.78, 0.98),
    "gray": (0.96, 0.92, 0.88),
}


def apply_light(color: np.ndarray, light: str) -> np.ndarray:
    """The colors under a light, a key of `LIGHT`."""
    return color * np.array(LIGHT[light], np.float32)


def sky(rng: np.random.Generator, height: int, width: int, light: str) -> np.ndarray:
    """A sky with a gradient and clouds, float32 BGR [h w 3]."""
    ground = colorize(vertical_gradient(height, width) ** 1.4, SKIES[light])
    clouds = fractal_noise(rng, height, width, coarse_px=height / 3.2, stretch=2.4, roughness=0.6)
    alpha = np.clip((clouds - 0.5) * 3.2, 0, 0.92)[..., None]
    shade = fractal_noise(rng, height, width, coarse_px=height / 8, stretch=1.8)
    white = colorize(0.35 + 0.65 * shade, ((150, 138, 130), (214, 208, 204), (250, 250, 250)))
    return ground * (1 - alpha) + apply_light(white, light) * alpha
