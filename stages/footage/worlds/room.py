"""A papered wall with pictures and books above a floor of boards."""

import numpy as np

from stages.footage.texture import Colour, fractal, receding, tint
from stages.footage.world import Layer, World, solid
from stages.footage.worlds.sky import lit


def room(rng: np.random.Generator, height: int, width: int, light: str) -> World:
    """A papered wall with pictures and shelves of books, and a floor of boards, lit by a lamp."""
    import cv2

    foot = round(height * 0.66)
    paper = fractal(rng, height, width, coarse_px=height / 5, roughness=0.8, octaves=8)
    tones: tuple[tuple[Colour, ...], ...] = (
        ((96, 128, 140), (148, 178, 190)),
        ((132, 128, 92), (176, 172, 140)),
        ((92, 108, 148), (136, 152, 188)),
    )
    colour = tint(paper, tones[int(rng.integers(3))])
    columns = np.arange(width, dtype=np.float32)
    colour *= (1 + 0.08 * np.sign(np.sin(columns * (2 * np.pi * 14 / height))))[None, :, None]
    for left in range(round(height * 0.1), width, round(height * 0.55)):
        top = round(height * (0.16 + 0.14 * float(rng.random())))
        hang = picture if rng.random() < 0.5 else books
        hang(rng, colour, left, top, round(height * 0.34), round(height * 0.3))
    wood = fractal(rng, (height - foot) * 2, width, coarse_px=height / 30, stretch=12, roughness=0.7)
    boards = tint(wood, ((36, 62, 96), (66, 108, 156), (96, 146, 196)))
    boards[:: max(12, height // 14)] *= 0.35
    colour[foot:] = receding(boards, height - foot, width, nearness=1.8)
    colour[foot - height // 40 : foot] = (196, 202, 206)
    glow = cv2.resize(rng.random((3, 6), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    colour *= (0.72 + 0.5 * np.clip(glow, 0, 1))[..., None]
    return World("room", (Layer(solid(lit(colour, light))),))


def picture(rng: np.random.Generator, colour: np.ndarray, left: int, top: int, wide: int, tall: int) -> None:
    """Hang a framed painting, cut off where the wall ends."""
    wide = min(wide, colour.shape[1] - left - 8)
    if wide < 16:
        return
    colour[top + 6 : top + tall + 8, left + 6 : left + wide + 8] *= 0.6
    colour[top : top + tall, left : left + wide] = (34, 60, 92)
    art = fractal(rng, tall - 12, wide - 12, coarse_px=tall / 3, octaves=6, roughness=0.7)
    inks = tuple(
        tuple(int(v) for v in 60 + rng.integers(0, 140, 3) // 2 + int(rng.integers(0, 70))) for _ in range(4)
    )
    colour[top + 6 : top + tall - 6, left + 6 : left + wide - 6] = tint(art, inks)  # type: ignore[arg-type]


def books(rng: np.random.Generator, colour: np.ndarray, left: int, top: int, wide: int, tall: int) -> None:
    """Put up two shelves of books."""
    end = min(left + wide, colour.shape[1] - 4)
    for shelf in (top + tall // 2, top + tall):
        x = left
        while x < end:
            thick = int(rng.integers(max(3, wide // 22), max(5, wide // 10)))
            high = round(tall * (0.3 + 0.14 * float(rng.random())))
            spine = rng.integers(30, 130, 3).astype(np.float32) + float(rng.integers(0, 60))
            colour[shelf - high : shelf, x : min(x + thick, end)] = spine
            colour[shelf - high : shelf, x : min(x + 1, end)] *= 0.5
            band = shelf - high + high // 4
            colour[band : band + 2, x : min(x + thick, end)] = (120, 190, 220)
            x += thick
        colour[shelf : shelf + max(3, tall // 28), left - 4 : end + 4] = (40, 66, 98)
