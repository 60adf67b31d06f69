"""One shot: a world, a camera, moving things, and whatever is wrong with it; it yields its frames."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.footage.camera import Camera, Pose
from stages.footage.thing import Thing
from stages.footage.words import Line, letters, mark, slide
from stages.footage.world import World

Frame = np.ndarray  # [3h/2 w] uint8: planes Y, U, V of 4:2:0 in limited range (BT.601), one above the other


@dataclass(frozen=True)
class Shot:
    """What to film. `take` names the randomness: shots of one take, world and camera are the same picture.

    Frame numbers (`frozen`, `lines`) count from the shot's first frame and end before their second number.
    """

    take: str
    world: str
    frames: int
    camera: Camera = Camera()
    light: str = "noon"
    things: tuple[Thing, ...] = ()
    still: bool = False
    dark: bool = False
    blurred: bool = False
    letterboxed: bool = False
    frozen: tuple[int, int] | None = None
    lines: tuple[Line, ...] = ()
    logo: bool = False
    good: bool = True

    def defects(self) -> Iterator[tuple[str, int, int]]:
        """Each thing that is wrong, with its first frame and the frame after its last."""
        for kind in ("still", "dark", "blurred", "letterboxed", "logo"):
            if getattr(self, kind):
                yield kind, 0, self.frames
        if self.camera.motion == "shake":
            yield "shake", 0, self.frames
        if self.frozen:
            yield "frozen", *self.frozen
        for line in self.lines:
            yield "subtitles", line.start, line.end

    def draw(self, size: tuple[int, int], times_s: Sequence[float], seed: int) -> Iterator[Frame]:
        """The frames at those times (seconds from the shot's start), of width and height `size`."""
        width, height = size
        rng = np.random.default_rng([seed, zlib.crc32(self.take.encode())])
        if self.still:
            yield from [planes(slide(rng, width, height))] * len(times_s)
            return
        lens = Lens(rng, width, height, dark=self.dark, soft=self.blurred, boxed=self.letterboxed)
        moments = self.moments(times_s)
        world = self.paint_world(rng, width, height, moments[-1])
        frame: Frame | None = None
        for number, time_s in enumerate(moments):
            if frame is None or time_s > moments[number - 1]:
                pose = self.camera.pose(time_s, moments[-1])
                picture = view(world, pose, width, height, time_s)
                for thing in self.things:
                    thing.paint(picture, pose, time_s)
                frame = lens.expose(self.write_over(picture, number), time_s)
            yield frame

    def moments(self, times_s: Sequence[float]) -> list[float]:
        """The world's time at each frame: it stops where the shot is frozen, and goes on from there."""
        if self.frozen is None:
            return list(times_s)
        first, last = self.frozen[0], self.frozen[1] - 1
        lost_s = times_s[last] - times_s[first]
        return [*times_s[:first], *[times_s[first]] * (last - first), *(t - lost_s for t in times_s[last:])]

    def paint_world(self, rng: np.random.Generator, width: int, height: int, last_s: float) -> World:
        """A world as large as this camera's way asks for."""
        from stages.footage.worlds import build

        across, down = self.camera.reach(last_s)
        canvas = (round(height * (1.3 + 2 * down)), round(width * 1.12 + 2 * height * (across + 0.1)))
        return build(self.world, rng, *canvas, light=self.light)

    def write_over(self, picture: np.ndarray, number: int) -> np.ndarray:
        """The picture with what a maker of films burns in: lines at the bottom, a mark in the corner."""
        for line in self.lines:
            if line.start <= number < line.end:
                letters(picture, line.text)
        if self.logo:
            mark(picture)
        return picture


def view(world: World, pose: Pose, width: int, height: int, time_s: float) -> np.ndarray:
    """What the camera sees of the world, [h w 3] uint8."""
    import cv2

    canvas_height, canvas_width = world.size
    cosine, sine = math.cos(pose.roll) / pose.zoom, math.sin(pose.roll) / pose.zoom
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen, foot, sheets = np.empty((height, width, 3), np.uint8), height, []
    for layer in reversed(world.layers):  # near to far: what lies behind a solid sheet is not drawn
        share = 1 - pose.depth * (1 - layer.nearness)
        x = canvas_width / 2 + height * (pose.x * share - layer.drift * time_s)
        y = canvas_height / 2 + height * pose.y * share
        x, y = x - cosine * width / 2 + sine * height / 2, y - sine * width / 2 - cosine * height / 2
        first, solid = layer.rows
        top = math.floor((first - 1 - y - max(0, sine * width)) / cosine)
        sheets.append((layer, x, y, max(0, top) if first else 0, foot))
        foot = (
            min(foot, max(0, math.ceil((solid + 1 - y - min(0, sine * width)) / cosine))) if solid else foot
        )
    for layer, x, y, top, end in reversed(sheets):
        if top >= end:
            continue
        warp = np.array([[cosine, -sine, x - sine * top], [sine, cosine, y + cosine * top]])
        rows, size = slice(top, end), (width, end - top)
        colour = cv2.warpAffine(layer.colour, warp, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)
        if layer.cover is not None:
            cover = cv2.warpAffine(layer.cover, warp, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)
            colour = cv2.blendLinear(colour, np.ascontiguousarray(seen[rows]), cover, 1 - cover)
        seen[rows] = colour
    return seen


class Lens:
    """What happens between the light and the file: fall-off to the corners, exposure, blur, bars, grain."""

    def __init__(
        self, rng: np.random.Generator, width: int, height: int, *, dark: bool, soft: bool, boxed: bool
    ) -> None:
        self.rng = np.random.default_rng(rng.integers(1 << 60))
        self.dark, self.soft, self.bar = dark, soft, height // 8 if boxed else 0
        rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        self.falloff = (1 - 0.11 * (rows**2 + columns**2)).astype(np.float32)
        self.swell = float(self.rng.uniform(0, 2 * math.pi))
        strength = 0.7 if soft else 1.7
        self.grain = self.rng.standard_normal((4, height + 32, width + 32), np.float32)
        self.grain = np.rint(self.grain * np.float32(strength)).astype(np.int16)

    def expose(self, picture: np.ndarray, time_s: float) -> Frame:
        """The frame that the camera would record of a picture [h w 3]."""
        import cv2

        height, width = picture.shape[:2]
        if self.soft:
            picture = cv2.GaussianBlur(picture, (0, 0), height / 55)
        frame = planes(picture)
        gain = 1 + 0.015 * math.sin(1.9 * time_s + self.swell)
        luma = cv2.multiply(frame[:height], self.falloff, scale=gain, dtype=cv2.CV_8U)
        if self.dark:
            luma = cv2.addWeighted(luma, 0.055, luma, 0, 15)
            frame[height:] = cv2.addWeighted(frame[height:], 0.1, frame[height:], 0, 115.2)
        sheet, dy, dx = (int(n) for n in self.rng.integers((4, 32, 32)))
        grain = np.ascontiguousarray(self.grain[sheet, dy : dy + height, dx : dx + width])
        frame[:height] = cv2.add(luma, grain, dtype=cv2.CV_8U)
        if self.bar:
            for rows in (slice(0, self.bar), slice(height - self.bar, height)):
                frame[:height][rows] = 16
            chroma = frame[height:].reshape(2, height // 2, width // 2)
            chroma[:, : self.bar // 2] = chroma[:, -(self.bar // 2) :] = 128
        return frame


def planes(picture: np.ndarray) -> Frame:
    """A picture in blue, green, red as the planes of 4:2:0."""
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
