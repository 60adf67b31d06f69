"""Writing on the picture: lines of speech, a maker's mark, a slide of text."""

from dataclasses import dataclass

import numpy as np

from stages.footage.texture import slope, tint


@dataclass(frozen=True)
class Line:
    """A line of speech at the bottom of the picture, from frame `start` up to but not including `end`."""

    start: int
    end: int
    text: str


def letters(picture: np.ndarray, text: str) -> None:
    """Write a line at the bottom, white with a black edge, in place."""
    import cv2

    height, width = picture.shape[:2]
    size, thick = height / 420, max(1, height // 220)
    wide, _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, thick)[0]
    at = ((width - wide) // 2, round(height * 0.91))
    inner = np.zeros((height, width), np.uint8)
    cv2.putText(inner, text, at, cv2.FONT_HERSHEY_DUPLEX, size, 255, thick, cv2.LINE_AA)
    outer = cv2.dilate(inner, np.ones((3, 3), np.uint8), iterations=max(1, height // 240))
    for mask, ink in ((outer, 0), (inner, 248)):
        share = mask[..., None].astype(np.float32) / 255
        picture[:] = np.rint(picture * (1 - share) + ink * share)


def mark(picture: np.ndarray) -> None:
    """Put a maker's mark into the upper right corner, in place."""
    import cv2

    height, width = picture.shape[:2]
    side = height // 9
    x, y = width - 2 * side, side // 2
    cv2.rectangle(picture, (x, y), (x + round(side * 1.6), y + side), (30, 30, 200), -1, cv2.LINE_AA)
    cv2.circle(picture, (x + side // 2, y + side // 2), side // 3, (240, 240, 240), -1, cv2.LINE_AA)
    at = (x + round(side * 0.85), y + round(side * 0.7))
    cv2.putText(picture, "TV", at, cv2.FONT_HERSHEY_DUPLEX, height / 620, (255, 255, 255), 1, cv2.LINE_AA)


def slide(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A slide of a talk: a heading, four points and a chart; nothing on it moves. [h w 3] uint8."""
    import cv2

    paper = tint(slope(height, width), ((236, 232, 226), (214, 206, 196)))
    picture = np.rint(paper).astype(np.uint8)
    ink, size = (70, 44, 30), height / 360
    cv2.rectangle(picture, (0, 0), (width, height // 6), (128, 78, 40), -1)
    at = (round(width * 0.05), round(height * 0.115))
    cv2.putText(
        picture,
        "Results of the year",
        at,
        cv2.FONT_HERSHEY_DUPLEX,
        size * 0.9,
        (250, 250, 250),
        1,
        cv2.LINE_AA,
    )
    for number, text in enumerate(("Rain and wind", "Sheep on the hill", "Trains on time", "Bread and tea")):
        at = (round(width * 0.08), round(height * (0.36 + 0.14 * number)))
        cv2.putText(picture, f"- {text}", at, cv2.FONT_HERSHEY_SIMPLEX, size * 0.7, ink, 1, cv2.LINE_AA)
    for number in range(5):
        x, tall = round(width * (0.58 + 0.07 * number)), round(height * (0.15 + 0.4 * float(rng.random())))
        foot = round(height * 0.88)
        cv2.rectangle(
            picture, (x, foot - tall), (x + round(width * 0.05), foot), (150, 120, 60 + 30 * number), -1
        )
    return picture
