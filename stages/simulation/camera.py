"""Films of a camera that moves through a room of still objects, with its exact poses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.film import Film, Floats, camera_spec, random_of
from stages.simulation.rendering import MujocoScene, load_mujoco
from stages.simulation.scenes.rooms import CAMERA, Room, build_room
from stages.simulation.scenes.trajectories import MOTIONS, Start, camera_trajectory
from stages.simulation.words import count_things

SPEEDS = (0.3, 1.2)  # m/s
ROTATION_SPEEDS = (0.15, 0.6)  # rad/s on the spot
CLEARANCE = 0.4  # m; from walls and objects
_RADII = (1.2, 2.5)  # m; of arcs
_ATTEMPTS = 200
_MOTION_TEXT = {
    "forward": "moves forward", "backward": "moves backward", "left": "moves to the left",
    "right": "moves to the right", "rotate_left": "turns left on the spot",
    "rotate_right": "turns right on the spot", "arc_left": "circles to the left",
    "arc_right": "circles to the right",
}  # fmt: skip


@dataclass(frozen=True)
class CameraRooms:
    """A room for each scene, and a film of one motion in it, at a random constant speed.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of a film.
        fps: Frames per second.
        width: Width in px, even.
        height: Height in px, even.
        motions: The motions, of which scenes take turns; names out of `MOTIONS`.
    """

    seed: int = 0
    frames: int = 33
    fps: float = 12.0
    width: int = 128
    height: int = 128
    motions: tuple[str, ...] = tuple(MOTIONS)

    def prepare(self) -> None:
        """See `Generator`."""
        load_mujoco()

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of a room."""
        rng = random_of(self.seed, "camera", scene)
        motion = self.motions[scene % len(self.motions)]
        room, poses, speed = self._room_with_trajectory(rng, motion)
        images = []
        with MujocoScene(room.xml, self.width, self.height, room.assets) as drawn:
            for pose in poses:
                drawn.place_camera(CAMERA, pose)
                images.append(drawn.render(CAMERA))
            intrinsics = drawn.intrinsics(CAMERA)
        items = count_things(f"{item.color} {item.shape}" for item in room.items)
        film = Film(
            name=f"room_{scene:06d}",
            frames=np.stack(images),
            conditions={
                "camera_pose": poses.reshape(-1, 12),
                "camera_intrinsics": np.tile(intrinsics, (len(poses), 1)),
            },
            spec=camera_spec(self.width, self.height),
            caption=f"The camera {_MOTION_TEXT[motion]} in a room with {items}.",
            listed={"motion": motion, "speed": round(speed, 6)},
        )
        return [film]

    def _room_with_trajectory(self, rng: np.random.Generator, motion: str) -> tuple[Room, Floats, float]:
        """A room, the poses [t 3 4] of a trajectory that touches nothing, and its speed in m/s or rad/s."""
        while True:
            room = build_room(rng)
            for _ in range(_ATTEMPTS):
                poses, speed = self._random_trajectory(rng, room, motion)
                if room.clearance(poses[:, :, 3]) > CLEARANCE:
                    return room, poses, speed

    def _random_trajectory(self, rng: np.random.Generator, room: Room, motion: str) -> tuple[Floats, float]:
        speed = float(rng.uniform(*(ROTATION_SPEEDS if motion.startswith("rotate") else SPEEDS)))
        limit = room.size[:2] / 2 - CLEARANCE
        position = np.append(rng.uniform(-limit, limit), rng.uniform(1.0, 1.7))
        to_center = np.arctan2(-position[1], -position[0])
        start = Start(position, float(to_center + rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.3, 0.05)))
        lengths = speed * np.arange(self.frames) / self.fps
        return camera_trajectory(motion, start, lengths, float(rng.uniform(*_RADII))), speed
