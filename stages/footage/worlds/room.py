"""A wall with wallpaper, paintings and books above a wooden floor."""

import numpy as np

from stages.footage.texture import Color, colorize, fractal_noise, project_to_floor
from stages.footage.world import Layer, World, to_uint8
from stages.footage.worlds.sky import apply_light


def room(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """A wall with wallpaper, paintings and bookshelves, and a wooden floor, lit by a lamp."""
    import cv2

    foot = round(height * 0.66)
    paper = fractal_noise(rng, height, width, coarse_px=height / 5, roughness=0.8, octaves=8)
    tones: tuple[tuple[Color, ...], ...] = (
        ((96, 128, 140), (148, 178, 190)),
        ((132, 128, 92), (176, 172, 140)),
        ((92, 108, 148), (136, 152, 188)),
    )
    color = colorize(paper, tones[int(rng.integers(3))])
    columns = np.arange(width, dtype=np.float32)
    color *= (1 + 0.08 * np.sign(np.sin(columns * (2 * np.pi * 14 / height))))[None, :, None]
    for left in range(round(height * 0.1), width, round(height * 0.55)):
        top = round(height * (0.16 + 0.14 * float(rng.random())))
        hang = painting if rng.random() < 0.5 else books
        hang(rng, color, left, top, round(height * 0.34), round(height * 0.3))
    wood = fractal_noise(rng, (height - foot) * 2, width, coarse_px=height / 30, stretch=12, roughness=0.7)
    boards = colorize(wood, ((36, 62, 96), (66, 108, 156), (96, 146, 196)))
    boards[:: max(12, height // 14)] *= 0.35
    color[foot:] = project_to_floor(boards, height - foot, width, nearness=1.8)
    color[foot - height // 40 : foot] = (196, 202, 206)
    glow = cv2.resize(rng.random((3, 6), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    color *= (0.72 + 0.5 * np.clip(glow, 0, 1))[..., None]
    return World("room", (Layer(to_uint8(apply_light(color, light))),))


def painting(rng: np.random.Generator, color: np.ndarray, left: int, top: int, wide: int, tall: int) -> None:
    """Paint a framed painting, cropped at the end of the wall."""
    wide = min(wide, color.shape[1] - left - 8)
    if wide < 16:
        return
    color[top + 6 : top + tall + 8, left + 6 : left + wide + 8] *= 0.6
    color[top : top + tall, left : left + wide] = (34, 60, 92)
    art = fractal_noise(rng, tall - 12, wide - 12, coarse_px=tall / 3, octaves=6, roughness=0.7)
    inks = tuple(
        tuple(int(v) for v in 60 + rng.integers(0, 140, 3) // 2 + int(rng.integers(0, 70))) for _ in range(4)
    )
    color[top + 6 : top + tall - 6, left + 6 : left + wide - 6] = colorize(art, inks)  # type: ignore[arg-type]


def books(rng: np.random.Generator, color: np.ndarray, left: int, top: int, wide: int, tall: int) -> None:
    """Paint two shelves with books."""
    end = min(left + wide, color.shape[1] - 4)
    for shelf in (top + tall // 2, top + tall):
        x = left
        while x < end:
            thick = int(rng.integers(max(3, wide // 22), max(5, wide // 10)))
            high = round(tall * (0.3 + 0.14 * float(rng.random())))
            spine = rng.integers(30, 130, 3).astype(np.float32) + float(rng.integers(0, 60))
            color[shelf - high : shelf, x : min(x + thick, end)] = spine
            color[shelf - high : shelf, x : min(x + 1, end)] *= 0.5
            band = shelf - high + high // 4
            color[band : band + 2, x : min(x + thick, end)] = (120, 190, 220)
            x += thick
        color[shelf : shelf + max(3, tall // 28), left - 4 : end + 4] = (40, 66, 98)
