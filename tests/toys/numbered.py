"""Films in which each frame bears a number and a colour, large enough to be read off a small JPEG."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 60, 200), "yellow": (220, 200, 40)}
BITS = 10


def colour_of(number: int) -> str:
    """The colour that goes with a number."""
    return list(COLOURS)[number * 7 % len(COLOURS)]


def words(number: int) -> str:
    """What is to be said of a clip with this number."""
    return f"number {number} on {colour_of(number)}"


def drawn(number: int, height: int = 90, width: int = 160) -> np.ndarray:
    """The number as bits (black and white blocks below), in digits, on its colour."""
    picture = np.full((height, width, 3), COLOURS[colour_of(number)], np.uint8)
    block = width // BITS
    for bit in range(BITS):
        picture[height * 2 // 3 :, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    where, size = (width // 8, height // 2), height / 60
    cv2.putText(picture, str(number), where, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2)
    return picture


def film_of(numbers: Sequence[int], frames_each: int, **size: int) -> Iterator[np.ndarray]:
    """So many frames of each number, one number after the other."""
    for number in numbers:
        picture = drawn(number, **size)
        for _ in range(frames_each):
            yield picture


def read(picture: np.ndarray) -> str:
    """What is drawn, as `words` says it."""
    height, width = picture.shape[:2]
    block, y = width / BITS, round(height * 5 / 6)
    number = sum((picture[y, int((bit + 0.5) * block)].mean() > 128) << bit for bit in range(BITS))
    corner = picture[height // 12, width // 24].astype(int)
    colour = min(COLOURS, key=lambda name: int(np.abs(corner - COLOURS[name]).sum()))
    return f"number {number} on {colour}"
