"""Names the colors that cover most of some images."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# The names are words of captions; they keep their spelling.
_GREYS = ((0.12, "black"), (0.35, "dark grey"), (0.65, "grey"), (0.88, "light grey"), (1.01, "white"))
_HUES = (  # upper end of each hue, in degrees
    (14, "red"), (40, "orange"), (68, "yellow"), (160, "green"), (195, "teal"), (255, "blue"),
    (290, "purple"), (335, "pink"), (361, "red"),
)  # fmt: skip
_BROWN = 0.62  # an orange with a lower HSV value is called brown
_GRID = 16  # samples per axis

Image = npt.NDArray[np.uint8]  # RGB [h w 3]


def name_colors(images: Sequence[Image], *, min_share: float = 0.2, max_colors: int = 2) -> list[str]:
    """Return the names of the colors that cover most of the images together, the largest first.

    Args:
        images: uint8 RGB [h w 3].
        min_share: Share of all images together that a color must cover.
        max_colors: Number of names, at most.
    """
    counts: Counter[str] = Counter()
    for image in images:
        counts.update(_name(pixel) for pixel in _sample(image))
    total = counts.total()
    largest = sorted(counts, key=lambda name: (-counts[name], name))
    return [name for name in largest[:max_colors] if counts[name] >= min_share * total]


def _sample(image: Image) -> npt.NDArray[np.float64]:
    """Return the mean colors [n 3] of the cells of a grid, 0 to 1."""
    height, width = image.shape[:2]
    rows = np.array_split(np.arange(height), min(height, _GRID))
    columns = np.array_split(np.arange(width), min(width, _GRID))
    return (
        np.array([image[r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean(axis=(0, 1)) for r in rows for c in columns])
        / 255
    )


def _name(pixel: npt.NDArray[np.float64]) -> str:
    """Return the name of a color, from its hue, chroma and HSV value."""
    red, green, blue = (float(value) for value in pixel)
    value, chroma = max(red, green, blue), max(red, green, blue) - min(red, green, blue)
    if chroma < 0.08 or chroma < 0.2 * value:
        return next(name for end, name in _GREYS if value < end)
    if value == red:
        hue = (green - blue) / chroma % 6
    elif value == green:
        hue = (blue - red) / chroma + 2
    else:
        hue = (red - green) / chroma + 4
    name = next(name for end, name in _HUES if 60 * hue < end)
    return "brown" if name == "orange" and value < _BROWN else name
