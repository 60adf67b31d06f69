"""Aspect ratios as text, such as "16:9", and the one that is nearest to that of a picture."""

import math
from collections.abc import Iterable


def parse_ratio(text: str) -> float:
    """Width over height of a text such as "16:9".

    Raises:
        ValueError: It is not two positive numbers.
    """
    width, _, height = text.partition(":")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ValueError(f"{text!r} is not an aspect ratio such as 16:9")
    return int(width) / int(height)


def nearest_ratio(aspect: float, ratios: Iterable[float]) -> float:
    """The one of the ratios that is nearest to width over height of a picture, on a logarithmic scale."""
    return min(ratios, key=lambda ratio: abs(math.log(ratio / aspect)))
