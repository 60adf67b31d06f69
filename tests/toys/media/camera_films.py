"""Draws recordings: cameras that see parts of one moving texture, with own offsets, rates and sizes."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from stages.media.encoding.arrays import write_mp4

PX_PER_S = 40  # speed at which the world passes


def world(seed: int) -> np.ndarray:
    """A texture with detail at every scale, uint8 RGB [300 900 3]."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((n, 3 * n, 3)), (900, 300), interpolation=cv2.INTER_CUBIC) for n in (6, 24, 96)
    ]
    image = np.sum(layers, axis=0) * rng.uniform(0.6, 1.0, 3)
    image = (image - image.min()) / (image.max() - image.min())
    return np.ascontiguousarray((image * 215 + 20).astype(np.uint8))


def write_camera(
    path: Path,
    seed: int,
    *,
    seconds: float = 4.0,
    start_s: float = 0.0,
    fps: Fraction | int = 24,
    left_px: int = 0,
    size: tuple[int, int] = (160, 96),
    cut_s: float | None = None,
    brightness: float = 1.0,
) -> None:
    """Write the film of one camera.

    Args:
        path: The file.
        seed: Number of the world.
        seconds: Length of the film.
        start_s: Time of its first frame.
        fps: Frame rate.
        left_px: Where the camera stands.
        size: Width and height in px.
        cut_s: Time from which another world is shown.
        brightness: Factor of all values.
    """
    before, after = world(seed), world(seed + 1000)

    def frames() -> "list[np.ndarray]":
        shown = []
        for number in range(round(seconds * fps)):
            time_s = start_s + float(number / Fraction(fps))
            image = before if cut_s is None or time_s < cut_s - 1e-6 else after
            x = left_px + round(PX_PER_S * time_s)
            view = image[60 : 60 + size[1], x : x + size[0]] * brightness
            shown.append(np.ascontiguousarray(view.astype(np.uint8)))
        return shown

    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, frames(), fps, preset="veryfast")
