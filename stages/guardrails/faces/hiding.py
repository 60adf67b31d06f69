"""Hides boxes of an image: Gaussian blur or a few large blocks."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stages.models.face_detector import FaceBox

BLUR, PIXELATE = "blur", "pixelate"
METHODS = (BLUR, PIXELATE)
_BLOCKS = 5  # per side of a box
_SIGMAS = 4  # standard deviations of the blur per side of a box: details below a quarter of a face vanish
_BLURRED_PX = 32  # side of the box while it is blurred, which is faster than a wide blur

Image = npt.NDArray[np.uint8]  # RGB [h w 3]


def with_margin(box: FaceBox, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in px of a box that is enlarged by a share of its sides."""
    dx, dy = box.width * margin, box.height * margin
    left, top = max(0, int(box.x - dx)), max(0, int(box.y - dy))
    right = min(width, int(np.ceil(box.x + box.width + dx)))
    bottom = min(height, int(np.ceil(box.y + box.height + dy)))
    return left, top, right, bottom


def hide(image: Image, spans: Iterable[tuple[int, int, int, int]], method: str) -> float:
    """Hide spans of an image in place, and return the hidden share of its pixels.

    Args:
        spans: Left, top, right and bottom in px.
        method: blur or pixelate.
    """
    import cv2

    hidden = np.zeros(image.shape[:2], bool)
    for left, top, right, bottom in spans:
        if left >= right or top >= bottom:
            continue
        part = image[top:bottom, left:right]
        if method == PIXELATE:
            blocks = min(_BLOCKS, right - left), min(_BLOCKS, bottom - top)
            small = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
        else:
            small = cv2.resize(part, (_BLURRED_PX, _BLURRED_PX), interpolation=cv2.INTER_AREA)
            small = cv2.GaussianBlur(small, (0, 0), _BLURRED_PX / _SIGMAS)
            part[:] = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        hidden[top:bottom, left:right] = True
    return float(hidden.mean())
