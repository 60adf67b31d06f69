"""Rooms with textured walls and objects, as MuJoCo models; the random numbers decide everything."""

from dataclasses import dataclass

import numpy as np

from stages.simulation.film import Floats
from stages.simulation.scenes.mjcf import VISUAL, numbers, object_material, sun, surface_material
from stages.simulation.scenes.textures import HUES, texture

CAMERA = "camera"
SHAPES = {"box": "box", "ball": "sphere", "cylinder": "cylinder"}  # word of captions: type of geom
_WALLS = (  # name, direction from the center, axes of the plane in the world
    ("east", (1, 0), "0 1 0 0 0 1"),
    ("west", (-1, 0), "0 -1 0 0 0 1"),
    ("north", (0, 1), "-1 0 0 0 0 1"),
    ("south", (0, -1), "1 0 0 0 0 1"),
)


@dataclass(frozen=True)
class Item:
    """An object on the floor of a room.

    Attributes:
        shape: A name out of `SHAPES`.
        color: A name out of `HUES`.
        center: Its center in m, [3].
        size: Half its extent along each axis in m, [3].
        yaw: Rotation around the z axis in rad.
    """

    shape: str
    color: str
    center: Floats
    size: Floats
    yaw: float

    @property
    def radius(self) -> float:
        """Radius in m of a vertical cylinder that contains it."""
        return float(np.hypot(*self.size[:2])) if self.shape == "box" else float(self.size[0])


@dataclass(frozen=True)
class Room:
    """A room whose floor has its center at the origin.

    Attributes:
        size: Width along x, depth along y and height in m, [3].
        items: The objects.
        fovy: Vertical field of view of its camera in degrees.
        xml: The model, as MJCF, with a camera `CAMERA`.
        assets: The files of its textures.
    """

    size: Floats
    items: tuple[Item, ...]
    fovy: float
    xml: str
    assets: dict[str, bytes]

    def clearance(self, positions: Floats) -> float:
        """Least distance in m of positions [n 3] from a wall or an object, as seen from above."""
        walls = float((self.size[:2] / 2 - np.abs(positions[:, :2])).min())
        away = [np.hypot(*(positions[:, :2] - i.center[:2]).T).min() - i.radius for i in self.items]
        return min(walls, *map(float, away)) if away else walls


def build_room(rng: np.random.Generator) -> Room:
    """Draw a room of random size with 4 to 8 objects, its textures, its lights and its camera."""
    size = np.array([rng.uniform(4, 7), rng.uniform(4, 7), rng.uniform(2.6, 3.4)])
    items = tuple(_random_item(rng, size) for _ in range(rng.integers(4, 9)))
    fovy = float(rng.uniform(50, 75))
    names = ["floor", "ceiling", *(wall for wall, _, _ in _WALLS)]
    assets = {f"{name}.png": texture(rng) for name in names}
    assets |= {f"item{n}.png": texture(rng, item.color) for n, item in enumerate(items)}
    materials = [surface_material(name, 0.6) for name in names]
    materials += [object_material(f"item{n}") for n in range(len(items))]
    geoms = [_surfaces(size), *(_geom(n, item) for n, item in enumerate(items))]
    xml = f"""<mujoco>{VISUAL}
      <asset>{"".join(materials)}</asset>
      <worldbody>{sun(np.append(rng.uniform(-1, 1, 2), -1))}{sun(rng.uniform(-1, 1, 3))}
        <camera name="{CAMERA}" fovy="{fovy!r}"/>
        {"".join(geoms)}
      </worldbody></mujoco>"""
    return Room(size, items, fovy, xml, assets)


def _random_item(rng: np.random.Generator, room: Floats) -> Item:
    shape = str(rng.choice(list(SHAPES)))
    size = rng.uniform(0.15, 0.5, 3)
    if shape == "ball":
        size = np.full(3, size[0])
    elif shape == "cylinder":
        size[1] = size[0]
    size[2] = min(size[2] * (1 if shape == "ball" else rng.uniform(1, 2.5)), room[2] / 2 - 0.1)
    limit = room[:2] / 2 - np.hypot(*size[:2])
    center = np.append(rng.uniform(-limit, limit), size[2])
    return Item(shape, str(rng.choice(list(HUES))), center, size, float(rng.uniform(0, np.pi)))


def _surfaces(size: Floats) -> str:
    x, y, z = size
    plane = f'<geom type="plane" size="{x / 2} {y / 2} 1"'
    floor = f'{plane} material="floor"/>'
    ceiling = f'{plane} pos="0 0 {z}" xyaxes="1 0 0 0 -1 0" material="ceiling"/>'
    walls = []
    for name, (east, north), axes in _WALLS:
        across = y if east else x
        walls.append(
            f'<geom type="plane" size="{across / 2} {z / 2} 1" xyaxes="{axes}" material="{name}"'
            f' pos="{east * x / 2} {north * y / 2} {z / 2}"/>'
        )
    return floor + ceiling + "".join(walls)


def _geom(number: int, item: Item) -> str:
    half = {"box": item.size, "ball": item.size[:1], "cylinder": item.size[[0, 2]]}[item.shape]
    return (
        f'<geom name="item{number}" type="{SHAPES[item.shape]}" material="item{number}"'
        f' size="{numbers(half)}" pos="{numbers(item.center)}" euler="0 0 {np.degrees(item.yaw)}"/>'
    )
