"""Films of eight scenes of physics from four cameras, with masks and positions of all objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.simulation.film import Film, Floats, camera_spec, random_of
from stages.simulation.rendering import MujocoScene, load_mujoco
from stages.simulation.scenes.mjcf import SKY, VISUAL, numbers, object_material, sun, surface_material
from stages.simulation.scenes.physics import SCENES, Setup
from stages.simulation.scenes.textures import HUES, texture
from stages.simulation.scenes.trajectories import look
from stages.simulation.words import count_things

FOVY = 45.0  # degrees
TIMESTEP_S = 1 / 960
_VIEW = "camera{}"
_FRAME = "world: z up, origin on the floor in the middle of the scene"


@dataclass(frozen=True)
class PhysicsScenes:
    """One of eight scenes for each number, in turns, filmed by fixed cameras around it.

    The column `state` has the position of each object. Masks number the objects from 1, in this order.

    Attributes:
        seed: Decides all random choices.
        frames: Frames of a film.
        fps: Frames per second.
        width: Width in px, even.
        height: Height in px, even.
        cameras: Number of cameras, evenly around the scene.
        scenes: The scenes, which take turns; names out of `SCENES`.
    """

    seed: int = 0
    frames: int = 33
    fps: float = 24.0
    width: int = 128
    height: int = 128
    cameras: int = 4
    scenes: tuple[str, ...] = tuple(SCENES)

    def prepare(self) -> None:
        """See `Generator`."""
        load_mujoco()

    def simulate(self, scene: int) -> Sequence[Film]:
        """Return the film of each camera."""
        rng = random_of(self.seed, "physics", scene)
        kind = self.scenes[scene % len(self.scenes)]
        setup = SCENES[kind](rng)
        colors = [str(color) for color in rng.choice(list(HUES), len(setup.bodies))]
        assets = {f"thing{n}.png": texture(rng, color) for n, color in enumerate(colors)}
        assets |= {"floor.png": texture(rng), "still.png": texture(rng)}
        xml = _model(setup, rng)
        poses = [self._pose(setup, rng, number) for number in range(self.cameras)]
        with MujocoScene(xml, self.width, self.height, assets) as world:
            images, masks, states = self._film(world, setup, poses)
            intrinsics = world.intrinsics(_VIEW.format(0))
        names = [f"{body.noun}{n + 1}_{axis}" for n, body in enumerate(setup.bodies) for axis in "xyz"]
        things = count_things(
            f"{color} {body.noun}" for color, body in zip(colors, setup.bodies, strict=True)
        )
        caption = setup.text.format(bodies=things, s="s" if len(colors) == 1 else "") + "."
        spec = camera_spec(self.width, self.height)
        spec["state"] = {"names": names, "units": ["m"] * len(names), "frame": _FRAME}
        return [
            Film(
                name=f"{kind}_{scene:06d}_camera{number}",
                frames=images[number],
                conditions={
                    "camera_pose": np.tile(pose.reshape(12), (self.frames, 1)),
                    "camera_intrinsics": np.tile(intrinsics, (self.frames, 1)),
                    "state": states,
                },
                spec=spec,
                caption=caption[0].upper() + caption[1:],
                listed={"kind": kind, "camera": number},
                masks=masks[number],
            )
            for number, pose in enumerate(poses)
        ]

    def _pose(self, setup: Setup, rng: np.random.Generator, number: int) -> Floats:
        """The pose [3 4] of a camera that looks at the middle of the scene."""
        azimuth = np.pi * (0.25 + 2 * number / self.cameras) + rng.uniform(-0.3, 0.3)
        elevation = rng.uniform(0.25, 0.6)
        distance = setup.extent / np.tan(np.radians(FOVY / 2))
        ahead = look(np.zeros(3), azimuth + np.pi, -elevation)
        return look(np.array([0, 0, setup.height]) - distance * ahead[:, 2], azimuth + np.pi, -elevation)

    def _film(
        self, world: MujocoScene, setup: Setup, poses: Sequence[Floats]
    ) -> tuple[np.ndarray, np.ndarray, Floats]:
        """Images [cameras t h w 3], masks [cameras t h w] and states [t 3 * objects]."""
        model, data = world.model, world.data
        bodies = [model.body(f"thing{n}").id for n in range(len(setup.bodies))]
        number_of = np.zeros(model.nbody, np.uint8)
        number_of[bodies] = np.arange(1, len(bodies) + 1)
        for body, thing in zip(bodies, setup.bodies, strict=True):
            first = model.body_dofadr[body] + (3 if model.body_dofnum[body] == 6 else 0)
            if model.body_dofnum[body] >= 3:
                data.qvel[first : first + 3] = thing.spin
        for number, pose in enumerate(poses):
            world.place_camera(_VIEW.format(number), pose)
        world.forward()
        shape = (len(poses), self.frames, self.height, self.width)
        images, masks = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8)
        states = np.empty((self.frames, 3 * len(bodies)))
        for frame in range(self.frames):
            world.advance_to(frame / self.fps)
            states[frame] = data.xipos[bodies].reshape(-1)
            for number in range(len(poses)):
                images[number, frame] = world.render(_VIEW.format(number))
                geoms = world.render_geoms(_VIEW.format(number))
                masks[number, frame] = np.where(geoms >= 0, number_of[model.geom_bodyid[geoms]], 0)
        return images, masks, states


def _model(setup: Setup, rng: np.random.Generator) -> str:
    """The scene as MJCF, with cameras that are placed later."""
    things = [
        f'<body name="thing{n}" pos="{numbers(body.position)}" euler="{numbers(body.euler)}">{body.joint}'
        + "".join(f'<geom {geom} material="thing{n}"/>' for geom in body.geoms)
        + "</body>"
        for n, body in enumerate(setup.bodies)
    ]
    still = [f'<geom {geom} material="still"/>' for geom in setup.still]
    cameras = [f'<camera name="{_VIEW.format(number)}" fovy="{FOVY}"/>' for number in range(16)]
    materials = [surface_material("floor", 0.5), object_material("still")]
    materials += [object_material(f"thing{n}") for n in range(len(setup.bodies))]
    return f"""<mujoco>{VISUAL}
      <option timestep="{TIMESTEP_S!r}" integrator="implicitfast" cone="elliptic"/>
      <default><geom friction=".6" density="600"/></default>
      <asset>{SKY}{"".join(materials)}</asset>
      <worldbody>{sun(np.append(rng.uniform(-0.5, 0.5, 2), -1))}{"".join(cameras)}
        <geom type="plane" size="0 0 1" material="floor"/>{"".join(still)}{"".join(things)}
      </worldbody></mujoco>"""
