"""A world: painted layers, far to near, large enough for a camera to wander over."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Layer:
    """One painted sheet.

    `colour` is [h w 3] uint8 (blue, green, red); `cover` is [h w] float32 in 0..1, None where all is solid.
    `nearness` says how far the sheet slides when the camera travels (0: as the sky, 1: as the ground at its
    feet); `drift` is the wind on it, in frame heights per second.
    """

    colour: np.ndarray
    cover: np.ndarray | None = None
    nearness: float = 1.0
    drift: float = 0.0

    @cached_property
    def rows(self) -> tuple[int, int]:
        """The first row with anything on it, and the first from which on all is solid."""
        height = self.colour.shape[0]
        if self.cover is None:
            return 0, 0
        some, full = self.cover.max(axis=1) > 0, self.cover.min(axis=1) >= 1
        return int(some.argmax()) if some.any() else height, height - int((~full[::-1]).argmax())


@dataclass(frozen=True)
class World:
    """Layers of one size, the farthest first and solid."""

    kind: str
    layers: tuple[Layer, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas, in pixels."""
        height, width = self.layers[0].colour.shape[:2]
        return height, width


def solid(colour: np.ndarray) -> np.ndarray:
    """The colours as bytes."""
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


def standing(top: np.ndarray, height: int) -> np.ndarray:
    """Cover of all that lies under the line `top` (pixels from above, [w]), with a soft edge; [h w]."""
    rows = np.arange(height, dtype=np.float32)[:, None]
    return np.clip(rows - top[None, :].astype(np.float32) + 0.5, 0, 1)


def blend(colour: np.ndarray, cover: np.ndarray, mask: np.ndarray, paint: np.ndarray) -> None:
    """Lay paint onto a layer where the mask is, within the mask's own box."""
    import cv2

    x, y, w, h = cv2.boundingRect(mask)
    box = np.s_[y : y + h, x : x + w]
    share = mask[box].astype(np.float32)[..., None] / 255
    colour[box] = colour[box] * (1 - share) + (paint[box] if paint.ndim == 3 else paint) * share
    cover[box] = np.maximum(cover[box], share[..., 0])
