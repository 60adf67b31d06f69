"""A world: painted layers from far to near, larger than the view of the camera."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Layer:
    """One painted layer.

    Attributes:
        color: uint8 BGR [h w 3].
        alpha: float32 [h w] in 0..1; None for a solid layer.
        nearness: how far the layer moves when the camera travels: 0 like the sky, 1 like the nearest ground.
        drift: motion of the layer itself, in frame heights per second.
    """

    color: np.ndarray
    alpha: np.ndarray | None = None
    nearness: float = 1.0
    drift: float = 0.0

    @cached_property
    def rows(self) -> tuple[int, int]:
        """The first row that is not empty, and the first row from which all rows are solid."""
        height = self.color.shape[0]
        if self.alpha is None:
            return 0, 0
        visible, solid = self.alpha.max(axis=1) > 0, self.alpha.min(axis=1) >= 1
        return int(visible.argmax()) if visible.any() else height, height - int((~solid[::-1]).argmax())


@dataclass(frozen=True)
class World:
    """Layers of equal size, the farthest first. The farthest layer is solid."""

    kind: str
    layers: tuple[Layer, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the layers, in pixels."""
        height, width = self.layers[0].color.shape[:2]
        return height, width


def to_uint8(color: np.ndarray) -> np.ndarray:
    """The colors, rounded to uint8."""
    rounded: np.ndarray = np.clip(np.rint(color), 0, 255).astype(np.uint8)
    return rounded


def mask_below(top: np.ndarray, height: int) -> np.ndarray:
    """The alpha below a line, [h w], with a soft edge; `top` is the line in pixels from above, [w]."""
    rows = np.arange(height, dtype=np.float32)[:, None]
    alpha: np.ndarray = np.clip(rows - top[None, :].astype(np.float32) + 0.5, 0, 1)
    return alpha


def paint_masked(color: np.ndarray, alpha: np.ndarray, mask: np.ndarray, paint: np.ndarray) -> None:
    """Paint on a layer, in place, where the mask is not 0."""
    import cv2

    x, y, w, h = cv2.boundingRect(mask)
    box = np.s_[y : y + h, x : x + w]
    share = mask[box].astype(np.float32)[..., None] / 255
    color[box] = color[box] * (1 - share) + (paint[box] if paint.ndim == 3 else paint) * share
    alpha[box] = np.maximum(alpha[box], share[..., 0])
