"""A robot arm of four joints at a table with a puck and a goal, as a MuJoCo model."""

from typing import NamedTuple

import numpy as np

from stages.simulation.film import Floats
from stages.simulation.scenes.mjcf import VISUAL, sun
from stages.simulation.scenes.trajectories import look

CAMERA = "camera"
BASE = (0.0, 0.36)  # m; the axis of the first joint on the table
SHOULDER_HEIGHT = 0.15  # m
LINK = 0.33  # m; length of the upper arm, and of the forearm
PUSHER = 0.12  # m; from the wrist down to the center of the tip
TIP_RADIUS = 0.015  # m
PUCK_RADIUS, PUCK_HALF_HEIGHT = 0.05, 0.025  # m
GOAL_RADIUS = 0.06  # m
JOINTS = ("yaw", "shoulder", "elbow", "wrist")
ARM_BODIES = ("base", "turret", "upper_arm", "forearm", "pusher")
FOVY = 42.0  # degrees
CAMERA_POSITION, CAMERA_PITCH = (0.0, -0.67, 0.82), -0.7  # m, rad; it looks along y
_GAINS = 'kp="4000" kv="40"'  # of the servos, N m / rad and N m s / rad
_HINGE = '<joint name="{}" axis="0 -1 0"/>'


class Reach(NamedTuple):
    """Where the tip may be, in m: corners of a box."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


REACH = Reach((-0.28, -0.19, 0.022), (0.28, 0.19, 0.14))


def joint_angles(tip: Floats) -> Floats:
    """The angles [4] in rad at which the pusher is vertical and its tip is at [3] in m, with the elbow up.

    Points of `REACH` can be reached. `yaw` turns left seen from above; 0 points along -y.
    """
    along, across = BASE[1] - tip[1], tip[0] - BASE[0]
    away, up = np.hypot(along, across), tip[2] + PUSHER - SHOULDER_HEIGHT
    bend = np.arccos(np.clip((away**2 + up**2) / (2 * LINK**2) - 1, -1, 1))
    shoulder = np.arctan2(up, away) + bend / 2  # the links have the same length
    return np.array([np.arctan2(across, along), shoulder, -bend, bend - shoulder])


def camera_pose() -> Floats:
    """The pose [3 4] of the camera; see `look`."""
    return look(np.array(CAMERA_POSITION), np.pi / 2, CAMERA_PITCH)


def build_arm(timestep_s: float) -> str:
    """The model as MJCF. The puck has a free joint; the mocap body `goal` is placed later.

    Args:
        timestep_s: Time step of the simulation in s.
    """
    servos = "".join(f'<position name="{name}" joint="{name}" {_GAINS}/>' for name in JOINTS)
    arm = f"""<body name="base" gravcomp="1" pos="{BASE[0]} {BASE[1]} 0" euler="0 0 -90">
        <geom type="cylinder" size=".06 .05" pos="0 0 .05" class="dark"/>
        <body name="turret" gravcomp="1" pos="0 0 {SHOULDER_HEIGHT}"><joint name="yaw" axis="0 0 1"/>
          <geom type="cylinder" size=".045 .05" class="dark"/>
          <body name="upper_arm" gravcomp="1">{_HINGE.format("shoulder")}
            <geom type="capsule" size=".03" fromto="0 0 0 {LINK} 0 0" class="shown"/>
            <body name="forearm" gravcomp="1" pos="{LINK} 0 0">{_HINGE.format("elbow")}
              <geom type="capsule" size=".024" fromto="0 0 0 {LINK} 0 0" class="shown"/>
              <geom type="sphere" size=".032" class="dark"/>
              <body name="pusher" gravcomp="1" pos="{LINK} 0 0">{_HINGE.format("wrist")}
                <geom type="capsule" size="{TIP_RADIUS}" fromto="0 0 0 0 0 {-PUSHER}" class="tip"/>
                <site name="tip" pos="0 0 {-PUSHER}"/>
              </body></body></body></body></body>"""
    return f"""<mujoco>{VISUAL}
      <option timestep="{timestep_s!r}" integrator="implicitfast" cone="elliptic" impratio="10"/>
      <default>
        <geom friction=".5" density="600"/><joint armature=".1"/><site rgba="0 0 0 0"/>
        <default class="dark"><geom rgba=".25 .26 .3 1" contype="0" conaffinity="0"/></default>
        <default class="shown"><geom rgba=".86 .6 .12 1" contype="0" conaffinity="0"/></default>
        <default class="tip"><geom rgba=".16 .3 .68 1" friction=".2"/></default>
      </default>
      <worldbody>{sun((0.3, 0.5, -1.0))}<camera name="{CAMERA}" fovy="{FOVY}"/>
        <geom type="plane" size="0 0 1" rgba=".78 .76 .72 1"/>
        <body name="goal" mocap="true">
          <geom type="cylinder" size="{GOAL_RADIUS} .001" class="shown" rgba=".5 .68 .5 1"/></body>
        <body name="puck" pos="0 0 {PUCK_HALF_HEIGHT}"><freejoint name="puck"/>
          <geom type="cylinder" size="{PUCK_RADIUS} {PUCK_HALF_HEIGHT}" rgba=".74 .2 .16 1"/></body>
        {arm}
      </worldbody>
      <actuator>{servos}</actuator></mujoco>"""
