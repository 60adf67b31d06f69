"""Cars that drive along the street beside the car with the cameras, each with a constant speed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.film import Floats
from stages.simulation.scenes.mjcf import numbers
from stages.simulation.scenes.textures import HUES

LANE = 2.6  # m; from the way to the middle of the lanes on both sides of it
MAX_CARS = 16
_FIRST, _GAP, _SLOTS = -20.0, 10.0, MAX_CARS // 2  # m; places of a lane along the way at the start
_JITTER = 2.0  # m


@dataclass(frozen=True)
class MovingCar:
    """A car that drives along the way of the cameras.

    Attributes:
        color: A name out of `HUES`.
        size: Half its length, width and height in m.
        start: Where it is along the way at time 0, in m from the beginning of the way.
        speed: Its speed along the way in m/s; negative toward the beginning (oncoming traffic).
    """

    color: str
    size: tuple[float, float, float]
    start: float
    speed: float

    @property
    def side(self) -> int:
        """1 to the left of the way, for oncoming cars; else -1."""
        return -1 if self.speed > 0 else 1


def random_traffic(rng: np.random.Generator, count: int) -> list[MovingCar]:
    """Cars in two lanes. None comes closer than 0.9 m to the way, or to the car ahead of it.

    Args:
        rng: Random numbers.
        count: Number of cars, at most `MAX_CARS`.
    """
    slots = np.sort(rng.choice(MAX_CARS, count, replace=False))
    colors = list(HUES)
    cars = []
    for direction, chosen in ((1, slots[slots < _SLOTS]), (-1, slots[slots >= _SLOTS] - _SLOTS)):
        starts = _FIRST + _GAP * chosen + rng.uniform(-_JITTER, _JITTER, len(chosen))
        speeds = np.sort(rng.uniform(3, 10, len(chosen)))[::direction]  # the car ahead is the faster one
        for start, speed in zip(starts, speeds, strict=True):
            height = float(rng.uniform(0.6, 0.9))
            size = (float(rng.uniform(1.1, 1.4)), 0.8, height)
            color = colors[int(rng.integers(len(colors)))]
            cars.append(MovingCar(color, size, float(start), direction * float(speed)))
    return cars


def traffic_places(cars: Sequence[MovingCar], way: Floats, times: Floats) -> Floats:
    """Places x, y and yaw [t n 3] of n cars at times [t] in s; beyond its ends the way is straight.

    Args:
        cars: The cars.
        way: Places of the cameras' car, x, y and yaw in m and rad, [m 3], in small steps.
        times: Seconds after the start.
    """
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way[:, :2], axis=0).T))])
    along = np.stack([car.start + car.speed * np.asarray(times) for car in cars], 1)
    x, y, yaw = (np.interp(along, length, column) for column in way.T)
    beyond = along - np.clip(along, 0, length[-1])
    side = np.array([car.side for car in cars])
    x = x + beyond * np.cos(yaw) - side * LANE * np.sin(yaw)
    y = y + beyond * np.sin(yaw) + side * LANE * np.cos(yaw)
    return np.stack([x, y, yaw + np.pi * (side > 0)], -1)


def traffic_bodies(cars: Sequence[MovingCar], first_thing: int) -> list[str]:
    """The cars as MJCF: mocap bodies, whose geoms are named as things from this number on."""
    return [
        f'<body name="traffic{n}" mocap="true" pos="0 0 {car.size[2]!r}">'
        f'<geom name="thing{first_thing + n}" type="box" material="traffic{n}" size="{numbers(car.size)}"/>'
        "</body>"
        for n, car in enumerate(cars)
    ]
