"""A street beside the way of a car, as a MuJoCo model; the random numbers decide everything."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.film import Floats
from stages.simulation.scenes.mjcf import SKY, VISUAL, numbers, object_material, sun, surface_material
from stages.simulation.scenes.textures import HUES, texture
from stages.simulation.scenes.traffic import MovingCar, traffic_bodies

VARIANTS = 4  # textures of each kind of thing
ROAD_WIDTH = 7.0  # m
_GAP = 3.0  # m between places along the way at which things may stand
_SHARES = {"car": 0.25, "tree": 0.3, "sign": 0.1}  # of the places on each side
_TRUNK = '<geom type="cylinder" size=".2 1.2" material="trunk" pos="{} {} 1.2"/>'


@dataclass(frozen=True)
class Street:
    """A street.

    Attributes:
        xml: The model, as MJCF. Its cameras have the names that were given, and are placed later.
        assets: The files of its textures.
        things: What captions call each thing.
        thing_of: For each name of a geom, the number of its thing.
    """

    xml: str
    assets: dict[str, bytes]
    things: tuple[str, ...]
    thing_of: dict[str, int]


def build_street(
    rng: np.random.Generator,
    way: Floats,
    cameras: tuple[str, ...],
    fovy: float,
    traffic: Sequence[MovingCar] = (),
) -> Street:
    """Draw a street whose road follows a way, with buildings, parked cars, trees and signs on both sides.

    Args:
        rng: Random numbers.
        way: Places of the car, x, y and yaw in m and rad, [n 3].
        cameras: Names of the cameras.
        fovy: Vertical field of view of the cameras in degrees.
        traffic: Cars that move. Their bodies `traffic0` … are placed later.
    """
    colors = [str(color) for color in rng.choice(list(HUES), VARIANTS, replace=False)]
    assets = {
        f"{kind}{n}.png": texture(rng, color) for kind in ("car", "sign") for n, color in enumerate(colors)
    }
    assets |= {f"building{n}.png": texture(rng) for n in range(VARIANTS)}
    assets |= {"tree.png": texture(rng, "green"), "trunk.png": texture(rng, "orange")}
    assets |= {"ground.png": texture(rng), "road.png": texture(rng)}
    names = [name.removesuffix(".png") for name in assets if name not in ("ground.png", "road.png")]
    geoms, things = _road(way), list[str]()
    for place in _places(way):
        for side in (-1, 1):
            for thing, geom in _roadside(rng, place, side, colors, len(things)):
                things.append(thing)
                geoms.append(geom)
    light = sun(np.append(rng.uniform(-0.6, 0.6, 2), -1))
    assets |= {f"traffic{n}.png": texture(rng, car.color) for n, car in enumerate(traffic)}
    names += [f"traffic{n}" for n in range(len(traffic))]
    bodies = traffic_bodies(traffic, len(things))
    things += [f"moving {car.color} car" for car in traffic]
    placed = "".join(f'<camera name="{name}" fovy="{fovy!r}"/>' for name in cameras)
    materials = [surface_material("ground", 0.2), object_material("road"), *map(object_material, names)]
    xml = f"""<mujoco>{VISUAL}
      <asset>{SKY}{"".join(materials)}
        <material name="line" rgba=".95 .95 .9 1" specular="0"/></asset>
      <worldbody>{light}{placed}
        <geom type="plane" size="0 0 1" material="ground"/>{"".join(geoms)}{"".join(bodies)}
      </worldbody></mujoco>"""
    return Street(xml, assets, tuple(things), {f"thing{n}": n for n in range(len(things))})


def _places(way: Floats) -> Floats:
    """Places every `_GAP` m along a way, which is continued straight on for 40 m at both ends, [n 3]."""
    ends = []
    for end, sign in ((way[0], -1), (way[-1], 1)):
        steps = np.arange(_GAP, 40, _GAP)[:, None] * sign
        places = end[:2] + steps * [np.cos(end[2]), np.sin(end[2])]
        ends.append(np.column_stack([places, np.full(len(steps), end[2])]))
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way[:, :2], axis=0).T))])
    at = np.arange(0, length[-1], _GAP)
    middle = np.column_stack([np.interp(at, length, column) for column in way.T])
    return np.concatenate([ends[0][::-1], middle, ends[1]])


def _road(way: Floats) -> list[str]:
    """Slabs of road with a line in their middle."""
    slabs = []
    for x, y, yaw in _places(way):
        turn = f'euler="{numbers((0, 0, np.degrees(yaw)))}"'
        slabs.append(
            f'<geom type="box" size="{numbers((_GAP * 0.55, ROAD_WIDTH / 2, 0.01))}" material="road"'
            f' pos="{numbers((x, y, 0))}" {turn}/>'
            f'<geom type="box" size="{numbers((_GAP * 0.25, 0.08, 0.015))}" material="line"'
            f' pos="{numbers((x, y, 0))}" {turn}/>'
        )
    return slabs


def _roadside(
    rng: np.random.Generator, place: Floats, side: int, colors: list[str], number: int
) -> list[tuple[str, str]]:
    """The things on a side of the road at a place: what captions call each, and its geom."""
    found: list[tuple[str, str]] = []

    def add(
        name: str, shape: str, size: tuple[float, ...], away: float, height: float, material: str
    ) -> None:
        x = place[0] - side * away * np.sin(place[2])
        y = place[1] + side * away * np.cos(place[2])
        geom = (
            f'<geom name="thing{number + len(found)}" type="{shape}" material="{material}"'
            f' size="{numbers(size)}" pos="{numbers((x, y, height))}"'
            f' euler="{numbers((0, 0, np.degrees(place[2])))}"/>'
        )
        trunk = _TRUNK.format(float(x), float(y)) if name == "tree" else ""
        found.append((name, geom + trunk))

    variant = int(rng.integers(VARIANTS))
    draw = rng.uniform()
    if draw < _SHARES["car"]:
        size = (rng.uniform(1.1, 1.4), 0.8, rng.uniform(0.6, 0.9))
        add(f"{colors[variant]} car", "box", size, ROAD_WIDTH / 2 + 1, size[2], f"car{variant}")
    elif draw < _SHARES["car"] + _SHARES["tree"]:
        add("tree", "ellipsoid", (1.2, 1.2, 1.5), ROAD_WIDTH / 2 + rng.uniform(2.5, 4), 3.2, "tree")
    elif draw < sum(_SHARES.values()):
        add(f"{colors[variant]} sign", "cylinder", (0.5, 1.0), ROAD_WIDTH / 2 + 1.2, 1.0, f"sign{variant}")
    if rng.uniform() < 0.6:
        tall = rng.uniform(2.5, 8)
        size = (_GAP / 2 * rng.uniform(0.8, 1.1), rng.uniform(1.5, 3), tall)
        add("building", "box", size, ROAD_WIDTH / 2 + rng.uniform(9, 12), tall, f"building{variant}")
    return found
