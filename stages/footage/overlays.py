"""Graphics on the image: subtitles, a logo, a presentation slide."""

from dataclasses import dataclass

import numpy as np

from stages.footage.texture import colorize, vertical_gradient


@dataclass(frozen=True)
class Subtitle:
    """A subtitle at the bottom of the image, from frame `start` up to but not including `end`."""

    start: int
    end: int
    text: str


def draw_subtitle(image: np.ndarray, text: str) -> None:
    """Write a text at the bottom, white with a black outline, in place."""
    import cv2

    height, width = image.shape[:2]
    size, thick = height / 420, max(1, height // 220)
    text_width, _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, thick)[0]
    position = ((width - text_width) // 2, round(height * 0.91))
    inner = np.zeros((height, width), np.uint8)
    cv2.putText(inner, text, position, cv2.FONT_HERSHEY_DUPLEX, size, 255, thick, cv2.LINE_AA)
    outer = cv2.dilate(inner, np.ones((3, 3), np.uint8), iterations=max(1, height // 240))
    for mask, ink in ((outer, 0), (inner, 248)):
        share = mask[..., None].astype(np.float32) / 255
        image[:] = np.rint(image * (1 - share) + ink * share)


def draw_logo(image: np.ndarray) -> None:
    """Draw a logo into the upper right corner, in place."""
    import cv2

    height, width = image.shape[:2]
    side = height // 9
    x, y = width - 2 * side, side // 2
    cv2.rectangle(image, (x, y), (x + round(side * 1.6), y + side), (30, 30, 200), -1, cv2.LINE_AA)
    cv2.circle(image, (x + side // 2, y + side // 2), side // 3, (240, 240, 240), -1, cv2.LINE_AA)
    position = (x + round(side * 0.85), y + round(side * 0.7))
    cv2.putText(image, "TV", position, cv2.FONT_HERSHEY_DUPLEX, height / 620, (255, 255, 255), 1, cv2.LINE_AA)


def draw_slide(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A presentation slide with a heading, four points and a chart, uint8 BGR [h w 3]."""
    import cv2

    paper = colorize(vertical_gradient(height, width), ((236, 232, 226), (214, 206, 196)))
    image: np.ndarray = np.rint(paper).astype(np.uint8)
    ink, size = (70, 44, 30), height / 360
    cv2.rectangle(image, (0, 0), (width, height // 6), (128, 78, 40), -1)
    position = (round(width * 0.05), round(height * 0.115))
    cv2.putText(
        image,
        "Results of the year",
        position,
        cv2.FONT_HERSHEY_DUPLEX,
        size * 0.9,
        (250, 250, 250),
        1,
        cv2.LINE_AA,
    )
    for number, text in enumerate(("Rain and wind", "Sheep on the hill", "Trains on time", "Bread and tea")):
        position = (round(width * 0.08), round(height * (0.36 + 0.14 * number)))
        cv2.putText(image, f"- {text}", position, cv2.FONT_HERSHEY_SIMPLEX, size * 0.7, ink, 1, cv2.LINE_AA)
    for number in range(5):
        x, tall = round(width * (0.58 + 0.07 * number)), round(height * (0.15 + 0.4 * float(rng.random())))
        foot = round(height * 0.88)
        cv2.rectangle(
            image, (x, foot - tall), (x + round(width * 0.05), foot), (150, 120, 60 + 30 * number), -1
        )
    return image
