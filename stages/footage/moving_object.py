"""Objects that move through a world: balls, cars, birds, boats and walkers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stages.footage.camera import Pose
from stages.footage.texture import fractal_noise

Sprite = np.ndarray  # [h w 4] float32: BGR color times alpha (0..255), and alpha (0..1)
SIDE = 128  # side of a sprite, in pixels


@dataclass(frozen=True)
class MovingObject:
    """An object that moves along a straight line.

    Attributes:
        kind: a key of `KINDS`.
        x: position at time 0, in frame heights to the right of the center of the world.
        y: position at time 0, in frame heights below the center of the world.
        speed: frame heights/s to the right.
        fall: frame heights/s downwards.
        size: side of the sprite, in frame heights.
        seed: decides the colors.
    """

    kind: str
    x: float
    y: float
    speed: float = 0.4
    fall: float = 0.0
    size: float = 0.16
    seed: int = 0

    def paint(self, frame: np.ndarray, pose: Pose, time_s: float) -> None:
        """Draw the object at a time onto a frame, uint8 BGR [h w 3], in place, with soft edges."""
        import cv2

        height, width = frame.shape[:2]
        x, y = self.x + self.speed * time_s, self.y + self.fall * time_s
        if self.kind == "ball":
            y -= 1.1 * self.size * abs(math.sin(3.5 * time_s + self.seed))
        scale, cosine, sine = pose.zoom * height, math.cos(pose.roll), math.sin(pose.roll)
        dx, dy = x - pose.x, y - pose.y
        center = (
            width / 2 + scale * (cosine * dx + sine * dy),
            height / 2 + scale * (cosine * dy - sine * dx),
        )
        radius = math.ceil(self.size * scale * 0.75) + 2
        left, top = max(0, math.floor(center[0]) - radius), max(0, math.floor(center[1]) - radius)
        right, bottom = min(width, left + 2 * radius + 1), min(height, top + 2 * radius + 1)
        if right <= left or bottom <= top or center[0] < -radius or center[1] < -radius:
            return
        spin = -pose.roll + (self.speed * time_s / max(self.size, 1e-6) if self.kind == "ball" else 0)
        factor = self.size * scale / SIDE
        c, s = factor * math.cos(spin), factor * math.sin(spin)
        flip = -1 if self.speed < 0 else 1
        half = SIDE / 2
        warp = np.array(
            [
                [c * flip, -s, center[0] - left - half * (c * flip - s)],
                [s * flip, c, center[1] - top - half * (s * flip + c)],
            ]
        )
        sprite_view = cv2.warpAffine(
            sprite(self.kind, self.seed, int(time_s * 12) % 8), warp, (right - left, bottom - top)
        )
        box = frame[top:bottom, left:right]
        box[:] = np.rint(box * (1 - sprite_view[..., 3:]) + sprite_view[..., :3]).clip(0, 255)


@lru_cache(maxsize=256)
def sprite(kind: str, seed: int, phase: int) -> Sprite:
    """The image of an object in one of the eight phases of its motion, [SIDE SIDE 4]."""
    import cv2

    rng = np.random.default_rng([seed, len(kind)])
    parts = KINDS[kind](rng, phase)
    noise = fractal_noise(rng, SIDE, SIDE, coarse_px=SIDE / 5, roughness=0.75)[..., None]
    out = np.zeros((SIDE, SIDE, 4), np.float32)
    for mask, paint in parts:
        alpha = cv2.GaussianBlur(mask, (0, 0), 0.6)[..., None].astype(np.float32) / 255
        color = np.broadcast_to(np.asarray(paint, np.float32), (SIDE, SIDE, 3)) * (0.75 + 0.5 * noise)
        out[..., :3] = out[..., :3] * (1 - alpha) + color.clip(0, 255) * alpha
        out[..., 3:] = out[..., 3:] * (1 - alpha) + alpha
    return out


Parts = list[tuple[np.ndarray, object]]


def blank() -> np.ndarray:
    """An empty mask."""
    return np.zeros((SIDE, SIDE), np.uint8)


def ball(rng: np.random.Generator, phase: int) -> Parts:
    """A ball with a stripe."""
    import cv2

    round_mask, patch = blank(), blank()
    cv2.circle(round_mask, (64, 64), 58, 255, -1, cv2.LINE_AA)
    cv2.ellipse(patch, (64, 64), (58, 20), 30, 0, 360, 255, -1, cv2.LINE_AA)
    color, other = rng.integers(40, 250, (2, 3))
    return [(round_mask, color), (cv2.bitwise_and(patch, round_mask), other)]


def car(rng: np.random.Generator, phase: int) -> Parts:
    """A car in side view, facing right, with its shadow."""
    import cv2

    shadow, hull, glass, wheels = blank(), blank(), blank(), blank()
    cv2.ellipse(shadow, (64, 92), (60, 6), 0, 0, 360, 150, -1, cv2.LINE_AA)
    outline = np.array(
        [(4, 84), (6, 64), (28, 58), (44, 40), (86, 40), (104, 60), (122, 66), (124, 84)], np.int32
    )
    cv2.fillPoly(hull, [outline], 255, cv2.LINE_AA)
    cv2.fillPoly(glass, [np.array([(34, 58), (47, 44), (62, 44), (62, 58)], np.int32)], 255, cv2.LINE_AA)
    cv2.fillPoly(glass, [np.array([(67, 58), (67, 44), (84, 44), (98, 58)], np.int32)], 255, cv2.LINE_AA)
    for x in (30, 98):
        cv2.circle(wheels, (x, 84), 12, 255, -1, cv2.LINE_AA)
    hubs = blank()
    for x in (30, 98):
        cv2.circle(hubs, (x, 84), 5, 255, -1, cv2.LINE_AA)
    colors = ((40, 40, 190), (180, 110, 40), (60, 150, 70), (200, 200, 205), (50, 180, 220), (70, 60, 60))
    paint = colors[int(rng.integers(len(colors)))]
    return [
        (shadow, (20, 20, 20)),
        (hull, paint),
        (glass, (96, 80, 64)),
        (wheels, (30, 30, 30)),
        (hubs, (170,) * 3),
    ]


def bird(rng: np.random.Generator, phase: int) -> Parts:
    """A bird beating its wings."""
    import cv2

    body = blank()
    lift = round(34 * math.sin(2 * math.pi * phase / 8))
    cv2.ellipse(body, (64, 64), (26, 8), -8, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.circle(body, (90, 58), 8, 255, -1, cv2.LINE_AA)
    for tip in ((34, 60 - lift), (58, 56 - lift)):
        cv2.fillPoly(body, [np.array([(52, 64), (78, 62), tip], np.int32)], 255, cv2.LINE_AA)
    return [(body, rng.integers(30, 90, 3))]


def boat(rng: np.random.Generator, phase: int) -> Parts:
    """A boat with two sails and its reflection on the water."""
    import cv2

    hull, sail, mirror = blank(), blank(), blank()
    cv2.fillPoly(hull, [np.array([(14, 88), (116, 88), (98, 106), (30, 106)], np.int32)], 255, cv2.LINE_AA)
    cv2.fillPoly(sail, [np.array([(60, 84), (62, 8), (106, 80)], np.int32)], 255, cv2.LINE_AA)
    cv2.fillPoly(sail, [np.array([(56, 84), (57, 20), (26, 80)], np.int32)], 255, cv2.LINE_AA)
    cv2.ellipse(mirror, (64, 110), (44, 7), 0, 0, 360, 110, -1, cv2.LINE_AA)
    return [(mirror, (60, 50, 40)), (hull, rng.integers(20, 160, 3)), (sail, rng.integers(190, 250, 3))]


def walker(rng: np.random.Generator, phase: int) -> Parts:
    """A person walking to the right, arms and legs swinging."""
    import cv2

    shadow, legs, coat, skin = blank(), blank(), blank(), blank()
    swing = math.sin(2 * math.pi * phase / 8)
    cv2.ellipse(shadow, (64, 122), (26, 4), 0, 0, 360, 140, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.line(legs, (64, 76), (round(64 + side * 20 * swing), 120), 255, 9, cv2.LINE_AA)
        cv2.line(coat, (64, 42), (round(64 - side * 18 * swing), 74), 255, 7, cv2.LINE_AA)
    cv2.ellipse(coat, (64, 58), (13, 24), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.circle(skin, (65, 23), 11, 255, -1, cv2.LINE_AA)
    coat_color, trousers = rng.integers(30, 220, 3), rng.integers(20, 110, 3)
    return [(shadow, (20, 20, 20)), (legs, trousers), (coat, coat_color), (skin, (130, 170, 215))]


KINDS: dict[str, Callable[[np.random.Generator, int], Parts]] = {
    "ball": ball,
    "car": car,
    "bird": bird,
    "boat": boat,
    "walker": walker,
}
