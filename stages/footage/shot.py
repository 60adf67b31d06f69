"""One shot: draws a world with a camera, moving objects and planted defects, frame by frame."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.footage.camera import Camera, Pose
from stages.footage.moving_object import MovingObject
from stages.footage.overlays import Subtitle, draw_logo, draw_slide, draw_subtitle
from stages.footage.world import World

# uint8 [3h/2 w]: planes Y, U and V of 4:2:0 in limited range (BT.601), one above the other.
Frame = np.ndarray


@dataclass(frozen=True)
class Shot:
    """What to draw. Spans of frames count from the first frame of the shot; their end is exclusive.

    Attributes:
        seed_name: seeds the random generator; shots with equal seed names, worlds and cameras are equal.
        world: a key of `worlds.KINDS`.
        frames: number of frames.
        camera: camera motion.
        light: a key of `sky.LIGHT`.
        objects: moving objects.
        still: draw a presentation slide instead of a world.
        dark: underexpose the shot.
        blurred: blur the shot.
        letterboxed: draw black bars at the top and bottom.
        frozen: span of frames that repeat the first of them.
        subtitles: subtitles burned into the image.
        logo: draw a logo into the corner.
    """

    seed_name: str
    world: str
    frames: int
    camera: Camera = Camera()
    light: str = "noon"
    objects: tuple[MovingObject, ...] = ()
    still: bool = False
    dark: bool = False
    blurred: bool = False
    letterboxed: bool = False
    frozen: tuple[int, int] | None = None
    subtitles: tuple[Subtitle, ...] = ()
    logo: bool = False

    def defects(self) -> Iterator[tuple[str, int, int]]:
        """Each defect with its first frame and the frame after its last."""
        for kind in ("still", "dark", "blurred", "letterboxed", "logo"):
            if getattr(self, kind):
                yield kind, 0, self.frames
        if self.camera.motion == "shake":
            yield "shake", 0, self.frames
        if self.frozen:
            yield "frozen", *self.frozen
        for line in self.subtitles:
            yield "subtitles", line.start, line.end

    def draw(self, size: tuple[int, int], times_s: Sequence[float], seed: int) -> Iterator[Frame]:
        """The frames at the given times.

        Args:
            size: width and height in pixels.
            times_s: seconds from the start of the shot.
            seed: seed of the film set.
        """
        width, height = size
        rng = np.random.default_rng([seed, zlib.crc32(self.seed_name.encode())])
        if self.still:
            yield from [to_yuv420p(draw_slide(rng, width, height))] * len(times_s)
            return
        lens = Lens(rng, width, height, dark=self.dark, blurred=self.blurred, letterboxed=self.letterboxed)
        world_times_s = self.world_times(times_s)
        world = self.paint_world(rng, width, height, world_times_s[-1])
        frame: Frame | None = None
        for number, time_s in enumerate(world_times_s):
            if frame is None or time_s > world_times_s[number - 1]:
                pose = self.camera.pose(time_s, world_times_s[-1])
                image = render_view(world, pose, width, height, time_s)
                for moving in self.objects:
                    moving.paint(image, pose, time_s)
                frame = lens.expose(self.draw_overlays(image, number), time_s)
            yield frame

    def world_times(self, times_s: Sequence[float]) -> list[float]:
        """The time in the world at each frame, in s. It stops while the shot is frozen, then continues."""
        if self.frozen is None:
            return list(times_s)
        first, last = self.frozen[0], self.frozen[1] - 1
        frozen_s = times_s[last] - times_s[first]
        return [*times_s[:first], *[times_s[first]] * (last - first), *(t - frozen_s for t in times_s[last:])]

    def paint_world(self, rng: np.random.Generator, width: int, height: int, last_s: float) -> World:
        """A world that is large enough for the camera motion."""
        from stages.footage.worlds import build

        right, down = self.camera.max_offset(last_s)
        canvas = (round(height * (1.3 + 2 * down)), round(width * 1.12 + 2 * height * (right + 0.1)))
        return build(self.world, rng, *canvas, light=self.light)

    def draw_overlays(self, image: np.ndarray, number: int) -> np.ndarray:
        """The image with the subtitles and the logo of a frame, in place."""
        for subtitle in self.subtitles:
            if subtitle.start <= number < subtitle.end:
                draw_subtitle(image, subtitle.text)
        if self.logo:
            draw_logo(image)
        return image


def render_view(world: World, pose: Pose, width: int, height: int, time_s: float) -> np.ndarray:
    """The camera's view of the world, uint8 BGR [h w 3]."""
    import cv2

    canvas_height, canvas_width = world.size
    cosine, sine = math.cos(pose.roll) / pose.zoom, math.sin(pose.roll) / pose.zoom
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image, bottom, sheets = np.empty((height, width, 3), np.uint8), height, []
    for layer in reversed(world.layers):  # near to far: rows behind a solid layer are not drawn
        share = 1 - pose.depth * (1 - layer.nearness)
        x = canvas_width / 2 + height * (pose.x * share - layer.drift * time_s)
        y = canvas_height / 2 + height * pose.y * share
        x, y = x - cosine * width / 2 + sine * height / 2, y - sine * width / 2 - cosine * height / 2
        first, first_solid = layer.rows
        top = math.floor((first - 1 - y - max(0, sine * width)) / cosine)
        sheets.append((layer, x, y, max(0, top) if first else 0, bottom))
        if first_solid:
            hidden = math.ceil((first_solid + 1 - y - min(0, sine * width)) / cosine)
            bottom = min(bottom, max(0, hidden))
    for layer, x, y, top, end in reversed(sheets):
        if top >= end:
            continue
        warp = np.array([[cosine, -sine, x - sine * top], [sine, cosine, y + cosine * top]])
        rows, size = slice(top, end), (width, end - top)
        color = cv2.warpAffine(layer.color, warp, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        if layer.alpha is not None:
            alpha = cv2.warpAffine(layer.alpha, warp, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
            color = cv2.blendLinear(color, np.ascontiguousarray(image[rows]), alpha, 1 - alpha)
        image[rows] = color
    return image


class Lens:
    """The recording by a camera: vignetting, exposure, blur, black bars and grain."""

    def __init__(
        self,
        rng: np.random.Generator,
        width: int,
        height: int,
        *,
        dark: bool,
        blurred: bool,
        letterboxed: bool,
    ) -> None:
        self.rng = np.random.default_rng(rng.integers(1 << 60))
        self.dark, self.blurred, self.bar_px = dark, blurred, height // 8 if letterboxed else 0
        rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        self.vignette = (1 - 0.11 * (rows**2 + columns**2)).astype(np.float32)
        self.gain_phase = float(self.rng.uniform(0, 2 * math.pi))
        strength = 0.7 if blurred else 1.7
        self.grain = self.rng.standard_normal((4, height + 32, width + 32), np.float32)
        self.grain = np.rint(self.grain * np.float32(strength)).astype(np.int16)

    def expose(self, image: np.ndarray, time_s: float) -> Frame:
        """The recorded frame of an image, uint8 BGR [h w 3]."""
        import cv2

        height, width = image.shape[:2]
        if self.blurred:
            image = cv2.GaussianBlur(image, (0, 0), height / 55)
        frame = to_yuv420p(image)
        gain = 1 + 0.015 * math.sin(1.9 * time_s + self.gain_phase)
        luma = cv2.multiply(frame[:height], self.vignette, scale=gain, dtype=cv2.CV_8U)
        if self.dark:
            luma = cv2.addWeighted(luma, 0.055, luma, 0, 15)
            frame[height:] = cv2.addWeighted(frame[height:], 0.1, frame[height:], 0, 115.2)
        sheet, dy, dx = (int(n) for n in self.rng.integers((4, 32, 32)))
        grain = np.ascontiguousarray(self.grain[sheet, dy : dy + height, dx : dx + width])
        frame[:height] = cv2.add(luma, grain, dtype=cv2.CV_8U)
        if self.bar_px:
            for rows in (slice(0, self.bar_px), slice(height - self.bar_px, height)):
                frame[:height][rows] = 16
            chroma = frame[height:].reshape(2, height // 2, width // 2)
            chroma[:, : self.bar_px // 2] = chroma[:, -(self.bar_px // 2) :] = 128
        return frame


def to_yuv420p(image: np.ndarray) -> Frame:
    """The planes of 4:2:0 of an image, uint8 BGR [h w 3]."""
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
