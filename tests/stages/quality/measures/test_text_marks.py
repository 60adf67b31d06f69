"""Text counts as an overlay where overlays stand, unless the image is full of text."""

import cv2
import numpy as np
import pytest

from stages.media.strip import Still, encode_jpeg
from stages.models.text_detector import TextBox
from stages.quality.measures.text_marks import TextMarks, median_image, text_marks

NOTHING = TextMarks(0.0, 0.0)


def _box(x: float, y: float, width: float, height: float, confidence: float = 0.9) -> TextBox:
    return TextBox(x, y, width, height, confidence, aspect=width / height * 16 / 9)


LOGO, LINE = _box(0.88, 0.06, 0.07, 0.1), _box(0.3, 0.86, 0.4, 0.07)


def test_text_in_a_corner_or_at_the_bottom_counts() -> None:
    corner, bottom = text_marks([LOGO, LINE])
    assert LOGO.area_share < corner < 2.5 * LOGO.area_share
    assert LINE.area_share < bottom < 2 * LINE.area_share
    assert text_marks([LOGO]).bottom == text_marks([LINE]).corner == 0


@pytest.mark.parametrize(
    "box",
    [
        _box(0.45, 0.4, 0.2, 0.1),  # in the middle
        _box(0.4, 0.05, 0.2, 0.1),  # at the top, between the corners
        _box(0.6, 0.02, 0.4, 0.4),  # too large for a mark
        _box(0.45, 0.85, 0.05, 0.1),  # at the bottom, but no line
        LOGO._replace(confidence=0.7),
    ],
)
def test_other_text_does_not_count(box: TextBox) -> None:
    assert text_marks([box]) == NOTHING


def test_surer_text_counts_more() -> None:
    shares = [text_marks([LOGO._replace(confidence=c)]).corner for c in (0.75, 0.8, 0.85, 0.95)]
    assert 0 == shares[0] < shares[1] < shares[2] == shares[3]


def test_text_of_an_image_that_is_full_of_it_belongs_to_the_scene() -> None:
    elsewhere = [_box(0.4, 0.2 + 0.15 * k, 0.15, 0.08) for k in range(3)]
    assert text_marks([LOGO, *elsewhere[:2]]) == text_marks([LOGO])
    assert text_marks([LOGO, LINE, *elsewhere]) == NOTHING


def test_what_moves_is_gone_from_the_median() -> None:
    stills = []
    for k in range(5):
        image = np.full((64, 96, 3), 60, np.uint8)
        cv2.rectangle(image, (15 * k, 20), (15 * k + 12, 32), (250, 250, 250), -1)  # moves
        cv2.rectangle(image, (80, 4), (90, 10), (40, 200, 250), -1)  # rests
        stills.append(Still(k / 2, encode_jpeg(image, 95)))
    median = median_image(stills).astype(int)
    assert np.abs(median[20:33, :72] - 60).max() < 12
    assert np.abs(median[6:9, 83:88] - (40, 200, 250)).max() < 25
