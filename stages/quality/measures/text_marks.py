"""Finds text where overlays stand: marks in the corners and lines at the bottom of a clip.

The text detector searches the median of stills. What moves is gone from it, so text that is left rests. A
logo without letters often looks like text to the detector. Text that rests elsewhere is taken for a part of
the scene, and so is all text of an image that is full of it, such as a keyboard or a screen.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.media.strip import Still

if TYPE_CHECKING:
    from stages.models.text_detector import TextBox

MIN_CONFIDENCE, FULL_CONFIDENCE = 0.75, 0.85  # of text that counts not at all, and of text that counts fully
CORNER = 0.25  # distance from both middle lines of the image beyond which a place is in a corner
MAX_MARK = 0.3, 0.25  # width and height of a mark, as shares of the image's
MIN_LINE_ASPECT, MAX_LINE_HEIGHT = 2.5, 0.12  # of a line at the bottom: width over height; share of the image
BOTTOM = 0.75  # height in the image from which lines are at its bottom
MAX_ELSEWHERE = 2  # places with text elsewhere in the image, up to which it is not full of text
MARGIN = 0.1  # around letters that belongs to a mark, as a share of their height

Image = npt.NDArray[np.uint8]  # BGR [h w 3]


class TextMarks(NamedTuple):
    """Shares of the image under text in its corners, and under lines at its bottom."""

    corner: float
    bottom: float


def median_image(stills: Sequence[Still]) -> Image:
    """Return the median of stills for each pixel and color."""
    import cv2

    def decode(still: Still) -> Image:
        return np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    middle = len(stills) // 2
    return np.asarray(np.partition([decode(still) for still in stills], middle, axis=0)[middle], np.uint8)


def text_marks(boxes: Sequence["TextBox"]) -> TextMarks:
    """Return the shares of the image under text that stands where overlays stand.

    Text of which the detector is less sure counts less. A mark is a little larger than its letters.
    """
    corner = bottom = 0.0
    elsewhere = 0
    for box in boxes:
        across, down = box.x + box.width / 2, box.y + box.height / 2
        sureness = (box.confidence - MIN_CONFIDENCE) / (FULL_CONFIDENCE - MIN_CONFIDENCE)
        area = box.area_share * (1 + 2 * MARGIN) * (1 + 2 * MARGIN / box.aspect)
        share = area * min(1.0, max(0.0, sureness))
        is_small = box.width < MAX_MARK[0] and box.height < MAX_MARK[1]
        if min(abs(across - 0.5), abs(down - 0.5)) > CORNER and is_small:
            corner += share
        elif down > BOTTOM and box.aspect > MIN_LINE_ASPECT and box.height < MAX_LINE_HEIGHT:
            bottom += share
        else:
            elsewhere += 1
    return TextMarks(corner, bottom) if elsewhere <= MAX_ELSEWHERE else TextMarks(0.0, 0.0)
