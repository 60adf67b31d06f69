"""Films of several cameras on a car that drives through a street, with the poses of all and the way ahead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manifests import ClipmillError
from stages.simulation.film import Film, Floats, camera_spec, random_of
from stages.simulation.rendering import MujocoScene, load_mujoco
from stages.simulation.scenes.street import Street, build_street
from stages.simulation.scenes.traffic import MAX_CARS, random_traffic, traffic_places
from stages.simulation.scenes.trajectories import look
from stages.simulation.words import count_things

RIG = {  # name of a camera: yaw to the left of the car's direction in degrees, and position in the car in m
    "front": (0.0, (1.5, 0.0, 1.5)),
    "left": (60.0, (1.0, 0.8, 1.5)),
    "right": (-60.0, (1.0, -0.8, 1.5)),
    "rear": (180.0, (-1.5, 0.0, 1.5)),
    "rear_left": (120.0, (-1.0, 0.8, 1.5)),
    "rear_right": (-120.0, (-1.0, -0.8, 1.5)),
}
FIELD_OF_VIEW = 85.0  # degrees, horizontal; neighbors in the rig share 25
PITCH = np.radians(-4)
POINTS, POINT_STEP_S = 64, 0.1  # of the trajectory ahead
STATE_NAMES = ("x", "y", "yaw", "speed", "yaw_rate")
STATE_UNITS = ("m", "m", "rad", "m/s", "rad/s")
_CAR = "car: x forward, y left, z up, origin on the ground below it at the time of the row"
_STEP_S = 0.01  # of the integration
_MIN_SHARE = 0.004  # of the pixels of a frame, from which a caption names a thing


@dataclass(frozen=True)
class DrivingStreets:
    """A street for each scene, through which a car drives with changing speed and curvature.

    The films are DIR/RECORDING/CAMERA.mp4, as the recipe `recordings` reads them. The column `trajectory` has
    64 points [x y z] of the way ahead, 0.1 s apart, in the frame of the car. The column `state` has the pose
    of the car.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of a film.
        fps: Frames per second.
        width: Width in px, even.
        height: Height in px, even.
        cameras: Number of cameras: the first of front, left, right, rear, rear_left and rear_right.
        traffic: Number of other cars that move. They keep their speed and lane: oncoming ones left of the
            cameras' car, the others right of it. 0: nothing else moves. `state` has the place of each.
    """

    seed: int = 0
    frames: int = 33
    fps: float = 12.0
    width: int = 256
    height: int = 144
    cameras: int = 3
    traffic: int = 0

    def prepare(self) -> None:
        """See `Generator`."""
        if not 1 <= self.cameras <= len(RIG):
            raise ClipmillError(
                f"the car has {len(RIG)} cameras, not {self.cameras}",
                where="cameras",
                remedy=f"set it to 1 to {len(RIG)}: the first of {', '.join(RIG)}",
            )
        if not 0 <= self.traffic <= MAX_CARS:
            raise ClipmillError(
                f"the street has lanes for {MAX_CARS} moving cars, not {self.traffic}",
                where="traffic",
                remedy=f"set it to 0 to {MAX_CARS}",
            )
        load_mujoco()

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of each camera."""
        rng = random_of(self.seed, "driving", scene)
        names = tuple(RIG)[: self.cameras]
        way = drive(rng, (self.frames - 1) / self.fps + POINTS * POINT_STEP_S)
        times = np.arange(self.frames) / self.fps
        states = _at(way, times)
        focal = self.width / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
        fovy = float(np.degrees(2 * np.arctan(self.height / 2 / focal)))
        cars = random_traffic(random_of(self.seed, "driving traffic", scene), self.traffic)
        traced = way[:: round(0.1 / _STEP_S), :3]
        street = build_street(rng, traced, names, fovy, cars)
        ahead = np.stack([trajectory_ahead(way, time) for time in times])
        spec = camera_spec(self.width, self.height)
        traffic = traffic_places(cars, traced, times) if cars else np.empty((self.frames, 0, 3))
        numbers = range(len(cars))
        spec["state"] = {
            "names": [*STATE_NAMES, *(f"car{n + 1}_{name}" for n in numbers for name in STATE_NAMES[:3])],
            "units": [*STATE_UNITS, *STATE_UNITS[:3] * len(cars)],
            "frame": "world: z up",
        }
        spec["trajectory"] = {"points": POINTS, "step_s": POINT_STEP_S, "unit": "m", "frame": _CAR}
        with MujocoScene(street.xml, self.width, self.height, street.assets) as world:
            return [self._film(world, street, name, scene, states, traffic, ahead, spec) for name in names]

    def _film(
        self,
        world: MujocoScene,
        street: Street,
        camera: str,
        scene: int,
        states: Floats,
        traffic: Floats,
        ahead: Floats,
        spec: dict[str, object],
    ) -> Film:
        poses = camera_poses(states, camera)
        images, seen = [], set()
        for frame, pose in enumerate(poses):
            _place_traffic(world, traffic[frame])
            world.place_camera(camera, pose)
            images.append(world.render(camera))
            if frame in (0, len(poses) // 2, len(poses) - 1):
                seen |= _things_in(world.render_geoms(camera), world, street)
        things = count_things(street.things[number] for number in sorted(seen))
        place = camera.replace("_", " ")
        recording = f"drive_{scene:06d}"
        return Film(
            name=f"{recording}/{camera}",
            frames=np.stack(images),
            conditions={
                "camera_pose": poses.reshape(-1, 12),
                "camera_intrinsics": np.tile(world.intrinsics(camera), (len(poses), 1)),
                "state": np.column_stack([states, traffic.reshape(len(states), -1)]),
                "trajectory": ahead,
            },
            spec=spec,
            caption=f"The {place} camera of a car that drives along a street with {things}.",
            listed={"recording": recording, "camera": camera},
        )


def _place_traffic(world: MujocoScene, places: Floats) -> None:
    """Put the cars that move at places x, y and yaw, [n 3]."""
    for number, (x, y, yaw) in enumerate(places):
        world.data.mocap_pos[number, :2] = x, y
        world.data.mocap_quat[number] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
    if len(places):
        world.forward()


def drive(rng: np.random.Generator, duration_s: float) -> Floats:
    """The states [n 5] (`STATE_NAMES`) of a car every 0.01 s, at random speeds and in random curves."""
    count = int(np.ceil(duration_s / _STEP_S)) + 2
    knots = np.linspace(0, count - 1, 5)
    speed = np.interp(np.arange(count), knots, np.clip(rng.uniform(3, 11) + rng.normal(0, 1.5, 5), 1, 14))
    curvature = np.interp(np.arange(count), knots, rng.uniform(-0.02, 0.02, 5))
    rate = speed * curvature
    yaw = rng.uniform(-np.pi, np.pi) + np.concatenate([[0], np.cumsum(rate[:-1] * _STEP_S)])
    steps = speed[:, None] * np.column_stack([np.cos(yaw), np.sin(yaw)]) * _STEP_S
    places = np.concatenate([np.zeros((1, 2)), np.cumsum(steps[:-1], axis=0)])
    return np.column_stack([places, yaw, speed, rate])


def _at(way: Floats, times: Floats) -> Floats:
    """The states [t 5] at times in s."""
    at = np.asarray(times) / _STEP_S
    return np.stack([np.interp(at, np.arange(len(way)), column) for column in way.T], -1)


def trajectory_ahead(way: Floats, time_s: float) -> Floats:
    """The places [64 * 3] of the car in the next 6.4 s, in the frame of the car at a time."""
    future = _at(way, time_s + POINT_STEP_S * np.arange(1, POINTS + 1))
    [(x, y, yaw, _, _)] = _at(way, np.array([time_s]))
    offset = future[:, :2] - (x, y)
    forward = offset @ (np.cos(yaw), np.sin(yaw))
    left = offset @ (-np.sin(yaw), np.cos(yaw))
    return np.column_stack([forward, left, np.zeros(POINTS)]).reshape(-1)


def camera_poses(states: Floats, camera: str) -> Floats:
    """The poses [t 3 4] of a camera of the rig for states [t 5] of the car."""
    turn, (ahead, left, height) = RIG[camera]
    x, y, yaw = states[:, 0], states[:, 1], states[:, 2]
    places = np.stack(
        [
            x + ahead * np.cos(yaw) - left * np.sin(yaw),
            y + ahead * np.sin(yaw) + left * np.cos(yaw),
            np.full(len(states), height),
        ],
        -1,
    )
    return look(places, yaw + np.radians(turn), PITCH)


def _things_in(geoms: np.ndarray, world: MujocoScene, street: Street) -> set[int]:
    """The things that a frame shows in enough pixels, from the geom of each pixel [h w]."""
    found, counts = np.unique(geoms[geoms >= 0], return_counts=True)
    names = [world.model.geom(int(geom)).name for geom in found[counts >= _MIN_SHARE * geoms.size]]
    return {street.thing_of[name] for name in names if name in street.thing_of}
