"""The eight scenes of the physics evaluation of Cosmos, with random sizes, colors and positions.

Source: NVIDIA 2025, "Cosmos World Foundation Model Platform for Physical AI" (arXiv 2501.03575).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stages.simulation.film import Floats
from stages.simulation.scenes.mjcf import numbers

SHAPES = {"box": "box", "ball": "sphere", "cylinder": "cylinder"}  # word of captions: type of geom
_FREE = "<freejoint/>"
_BOUNCE = 'solref="-4000 -12"'  # stiffness and damping of contacts; objects bounce a little


class Body(NamedTuple):
    """An object that moves.

    Attributes:
        noun: What captions call it.
        geoms: Attributes of its geoms, as MJCF.
        position: Where it starts, in m, [3].
        euler: Its rotation at the start in degrees, [3].
        spin: Its angular velocity at the start in its own axes, in rad/s, [3].
        joint: Its joint, as MJCF.
    """

    noun: str
    geoms: tuple[str, ...]
    position: Sequence[float] | Floats
    euler: Sequence[float] | Floats = (0.0, 0.0, 0.0)
    spin: Sequence[float] | Floats = (0.0, 0.0, 0.0)
    joint: str = _FREE


class Setup(NamedTuple):
    """A scene.

    Attributes:
        bodies: The objects that move.
        still: Attributes of geoms that do not, as MJCF.
        text: What happens; {bodies} are the objects with their colors, and {s} is the ending of a verb.
        height: Height of the middle of the scene in m; the cameras look at it.
        extent: Radius in m around the middle that cameras show.
    """

    bodies: list[Body]
    still: tuple[str, ...]
    text: str
    height: float
    extent: float


def _object(rng: np.random.Generator, position: Sequence[float], size: float, shape: str = "") -> Body:
    """A box, ball or cylinder of a size in m."""
    noun = shape or str(rng.choice(list(SHAPES)))
    half: Mapping[str, Iterable[float]] = {
        "box": size * rng.uniform(0.7, 1, 3),
        "ball": (size,),
        "cylinder": (0.8 * size, size),
    }
    return Body(noun, (f'type="{SHAPES[noun]}" size="{numbers(half[noun])}" {_BOUNCE}',), position)


def _free_fall(rng: np.random.Generator) -> Setup:
    count = int(rng.integers(1, 4))
    bodies = [
        _object(rng, (0.6 * (n - (count - 1) / 2), rng.uniform(-0.2, 0.2), rng.uniform(0.9, 2.0)), 0.18)
        for n in range(count)
    ]
    bodies = [body._replace(euler=rng.uniform(-180, 180, 3), spin=rng.normal(0, 1, 3)) for body in bodies]
    return Setup(bodies, (), "{bodies} fall{s} to the floor", 0.9, 1.5)


def _tilted_slope(rng: np.random.Generator) -> Setup:
    angle = float(rng.uniform(15, 35))
    along = np.array([np.cos(np.radians(angle)), -np.sin(np.radians(angle))])  # x and z of the way down
    slope = f'type="box" size="1.1 .5 .03" pos="0 0 .75" euler="0 {angle!r} 0" friction=".5"'
    normal, bodies = np.array([-along[1], along[0]]), []
    for n in range(int(rng.integers(1, 3))):
        size = float(rng.uniform(0.1, 0.17))
        x, z = np.array([0, 0.75]) + along * rng.uniform(-0.9, -0.6) + normal * (0.03 + size)
        body = _object(rng, (x, 0.5 * n - 0.2 + rng.uniform(-0.05, 0.05), z), size, "ball" if n else "")
        bodies.append(body._replace(euler=(90, angle, 0) if body.noun == "cylinder" else (0, angle, 0)))
    return Setup(bodies, (slope,), "{bodies} move{s} down a tilted slope", 0.6, 1.5)


def _u_slope(rng: np.random.Generator) -> Setup:
    radius, plates = float(rng.uniform(0.9, 1.2)), []
    for turn in np.radians(np.arange(-84, 85, 4)):  # the lower half of a tube along y
        x, z = radius * np.sin(turn), radius * (1 - np.cos(turn)) + 0.03
        width = radius * np.radians(2.2)
        plates.append(
            f'type="box" size="{numbers((width, 0.45, 0.03))}" pos="{numbers((x, 0, z))}"'
            f' euler="{numbers((0, -np.degrees(turn), 0))}" friction=".8"'
        )
    bodies = []
    for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
        size, turn = float(rng.uniform(0.1, 0.16)), float(side * rng.uniform(0.7, 1.2))
        away = radius - 0.05 - size
        bodies.append(
            _object(
                rng, (away * np.sin(turn), 0.22 * side, radius - away * np.cos(turn) + 0.03), size, "ball"
            )
        )
    return Setup(bodies, tuple(plates), "{bodies} roll{s} in a half pipe", 0.6, 1.5)


def _stack(rng: np.random.Generator, offsets: Sequence[float], text: str) -> Setup:
    """Boxes on each other, each moved by a share of its width from the one below, in one direction."""
    turn, place, height, bodies = rng.uniform(0, 2 * np.pi), np.zeros(2), 0.0, []
    half = float(rng.uniform(0.16, 0.22))
    for offset in offsets:
        tall = float(rng.uniform(0.1, 0.18))
        place = place + offset * 2 * half * np.array([np.cos(turn), np.sin(turn)])
        size = f'type="box" size="{numbers((half, half, tall))}"'
        bodies.append(Body("box", (size,), (*place, height + tall), (0, 0, np.degrees(turn))))
        height += 2 * tall + 1e-3
    return Setup(bodies, (), text, 0.5, 1.4)


def _stable_stack(rng: np.random.Generator) -> Setup:
    count = int(rng.integers(3, 6))
    offsets = [0.0, *(rng.uniform(0.02, 0.08, count - 1) * rng.choice([-1, 1], count - 1))]
    return _stack(rng, offsets, "a stack of {bodies} stands still")


def _unstable_stack(rng: np.random.Generator) -> Setup:
    count = int(rng.integers(3, 6))
    offsets = [0.0, *rng.uniform(0.36, 0.45, count - 1)]
    return _stack(rng, offsets, "a stack of {bodies} topples over")


def _dominoes(rng: np.random.Generator) -> Setup:
    count, gap = int(rng.integers(5, 10)), float(rng.uniform(0.17, 0.24))
    size = f'type="box" size="{numbers((0.03, 0.11, 0.2))}"'
    start = -gap * (count - 1) / 2
    bodies = [Body("domino", (size,), (start + gap * n, 0, 0.2)) for n in range(count)]
    bodies[0] = bodies[0]._replace(spin=(0, float(rng.uniform(4.5, 6.5)), 0))
    return Setup(bodies, (), "the first of {bodies} falls and topples the others", 0.2, 1.2)


def _seesaw(rng: np.random.Generator) -> Setup:
    tilt, length = float(rng.uniform(8, 14)), float(rng.uniform(0.8, 1.0))
    plank = Body(
        "plank",
        (f'type="box" size="{length!r} .22 .025" density="250" friction="1"',),
        (0, 0, 0.3),
        (0, tilt, 0),
        joint='<joint type="hinge" axis="0 1 0" limited="true" range="-22 22" damping=".4"/>',
    )
    away, rise = 0.8 * length * np.cos(np.radians(tilt)), 0.8 * length * np.sin(np.radians(tilt))
    light = _object(rng, (away, 0, 0.3 - rise + 0.03 + 0.105), 0.1, "box")._replace(euler=(0, tilt, 0))
    heavy = _object(rng, (-away, 0, 0.3 + rise + rng.uniform(0.6, 1.1)), 0.17)
    heavy = heavy._replace(geoms=(heavy.geoms[0] + ' density="2500"',))
    wedge = 'type="cylinder" size=".13 .25" pos="0 0 .13" euler="90 0 0"'
    text = "{bodies}: the heavier one falls on the seesaw and lifts the other"
    return Setup([plank, light, heavy], (wedge,), text, 0.6, 1.4)


def _gyroscope(rng: np.random.Generator) -> Setup:
    arm, radius = float(rng.uniform(0.4, 0.55)), float(rng.uniform(0.25, 0.35))
    wheel = Body(
        "gyroscope",
        (
            f'type="cylinder" size="{radius!r} .04" pos="0 0 {arm!r}"',
            f'type="capsule" size=".025" fromto="0 0 0 0 0 {arm + 0.15!r}" density="100"',
            f'type="box" size="{numbers((0.04, radius * 0.9, 0.05))}" pos="0 0 {arm!r}" density="10"',
        ),
        (0, 0, 0.5),
        (float(rng.uniform(25, 60)), 0, float(rng.uniform(0, 360))),
        (0, 0, float(rng.choice([-1, 1]) * rng.uniform(35, 60))),
        joint='<joint type="ball" damping=".0005"/>',
    )
    stand = 'type="cylinder" size=".04 .23" pos="0 0 .23"'
    return Setup([wheel], (stand,), "{bodies} spins on a stand and turns around it", 0.6, 1.1)


SCENES: Mapping[str, Callable[[np.random.Generator], Setup]] = {
    "free_fall": _free_fall,
    "tilted_slope": _tilted_slope,
    "u_slope": _u_slope,
    "stable_stack": _stable_stack,
    "unstable_stack": _unstable_stack,
    "dominoes": _dominoes,
    "seesaw": _seesaw,
    "gyroscope": _gyroscope,
}
