"""The names of the colours that cover most of some pictures."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

_GREYS = ((0.12, "black"), (0.35, "dark grey"), (0.65, "grey"), (0.88, "light grey"), (1.01, "white"))
_HUES = (  # upper end of each hue, in degrees
    (14, "red"), (40, "orange"), (68, "yellow"), (160, "green"), (195, "teal"), (255, "blue"),
    (290, "purple"), (335, "pink"), (361, "red"),
)  # fmt: skip
_BROWN = 0.62  # an orange darker than this is called brown
_SIDE = 16  # pixels per axis that are looked at


def colours_of(pictures: Sequence[np.ndarray], *, share: float = 0.2, most: int = 2) -> list[str]:
    """At most `most` colour names, the widest first, each covering at least `share` of all pictures together.

    Args:
        pictures: uint8 RGB [h w 3].
    """
    seen: Counter[str] = Counter()
    for picture in pictures:
        seen.update(_name(pixel) for pixel in _thinned(picture))
    total = seen.total()
    widest = sorted(seen, key=lambda name: (-seen[name], name))
    return [name for name in widest[:most] if seen[name] >= share * total]


def _thinned(picture: np.ndarray) -> np.ndarray:
    """The means [n 3] of a grid of places, 0 to 1."""
    high, wide = picture.shape[:2]
    rows = np.array_split(np.arange(high), min(high, _SIDE))
    columns = np.array_split(np.arange(wide), min(wide, _SIDE))
    return (
        np.array(
            [picture[r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean(axis=(0, 1)) for r in rows for c in columns]
        )
        / 255
    )


def _name(pixel: np.ndarray) -> str:
    """The name of one colour, by hue, chroma and value."""
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
