"""Frames with a number and a color, which can be read from a small JPEG."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

COLORS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 60, 200), "yellow": (220, 200, 40)}
BITS = 10


def color_of(number: int) -> str:
    """The color of a number."""
    return list(COLORS)[number * 7 % len(COLORS)]


def number_text(number: int) -> str:
    """The caption of a clip with this number."""
    return f"number {number} on {color_of(number)}"


def draw_number(number: int, height: int = 90, width: int = 160) -> np.ndarray:
    """The number as digits and as bits (black and white blocks below), on its color: uint8 [h w 3]."""
    image = np.full((height, width, 3), COLORS[color_of(number)], np.uint8)
    block = width // BITS
    for bit in range(BITS):
        image[height * 2 // 3 :, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    origin, size = (width // 8, height // 2), height / 60
    cv2.putText(image, str(number), origin, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2)
    return image


def numbered_frames(numbers: Sequence[int], frames_each: int, **size: int) -> Iterator[np.ndarray]:
    """`frames_each` frames of each number, one number after another: uint8 RGB [h w 3]."""
    for number in numbers:
        image = draw_number(number, **size)
        for _ in range(frames_each):
            yield image


def read_number(image: np.ndarray) -> str:
    """The number and color of an image, as `number_text` writes them."""
    height, width = image.shape[:2]
    block, y = width / BITS, round(height * 5 / 6)
    number = sum((image[y, int((bit + 0.5) * block)].mean() > 128) << bit for bit in range(BITS))
    corner = image[height // 12, width // 24].astype(int)
    color = min(COLORS, key=lambda name: int(np.abs(corner - COLORS[name]).sum()))
    return f"number {number} on {color}"
