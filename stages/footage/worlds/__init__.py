"""Five kinds of world; each seed paints another variant."""

from collections.abc import Callable

import numpy as np

from stages.footage.world import World
from stages.footage.worlds.fields import fields
from stages.footage.worlds.hills import hills
from stages.footage.worlds.room import room
from stages.footage.worlds.sea import sea
from stages.footage.worlds.town import town

KINDS: dict[str, Callable[[np.random.Generator, int, int, str], World]] = {
    "hills": hills,
    "town": town,
    "fields": fields,
    "sea": sea,
    "room": room,
}


def build(kind: str, rng: np.random.Generator, height: int, width: int, *, light: str = "noon") -> World:
    """Paint a world of a kind, of the given size in pixels; the random generator decides the variant."""
    return KINDS[kind](rng, height, width, light)
