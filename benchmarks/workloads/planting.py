"""Plants one known defect into a real clip, at a level with a physical unit.

Levels do not depend on the size of the image.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import islice
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4

MAX_HEIGHT_PX, MAX_DURATION_S, MIN_DURATION_S = 360, 5.0, 1.5
CLEAN_CRF = 20  # of x264, for clips without a coding defect
STRENGTHS = ("weak", "medium", "strong")
FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = ("WHERE WERE YOU LAST NIGHT?", "I have told you already.", "Then tell me again", "- No. - Why not?")

Images = Sequence[np.ndarray]  # uint8 RGB [h w 3]


@dataclass(frozen=True)
class Defect:
    """A defect.

    Attributes:
        levels: Levels of the strengths weak, medium and strong.
        unit: Unit of the levels.
        plant: Applies the defect to images, with their frame rate, the level and a random generator.
        crf: The level is the crf of the encoder.
    """

    levels: tuple[float, float, float]
    unit: str
    plant: Callable[[Images, float, float, np.random.Generator], Iterator[np.ndarray]] | None = None
    crf: bool = False


def plant_defect(video: Path, target: Path, kind: str = "", strength: str = "medium") -> bool:
    """Write the clip with a defect, or without one if `kind` is empty. Both are encoded in the same way.

    The result has at most `MAX_DURATION_S` and `MAX_HEIGHT_PX`.

    Returns:
        False if less than `MIN_DURATION_S` is left; nothing is written then.
    """
    defect = DEFECTS.get(kind, Defect((0, 0, 0), ""))
    level = defect.levels[STRENGTHS.index(strength)]
    images, fps = read_clip(video)
    if len(images) < MIN_DURATION_S * fps:
        return False
    rng = np.random.default_rng(zlib.crc32(f"{video.name} {kind}".encode()))
    output = defect.plant(images, float(fps), level, rng) if defect.plant else iter(images)
    write_mp4(target, output, fps, crf=int(level) if defect.crf else CLEAN_CRF, preset="superfast")
    return True


@lru_cache(maxsize=2)
def read_clip(video: Path) -> tuple[Images, Fraction]:
    """Read the first frames of a clip, upright and with even sides, and the frame rate to write them with.

    Of a clip with more than 31 frames per second, only each second frame is read, and so on.
    """
    with open_video(str(video)) as opened:
        skip = ceil(opened.fps / 31)
        fps = (opened.fps / skip).limit_denominator(1001)
        frames = islice(opened.frames(), 0, None, skip)
        images: list[np.ndarray] = []
        for frame in islice(frames, int(MAX_DURATION_S * fps)):
            width, height = frame.display_size
            scale = min(1.0, MAX_HEIGHT_PX / height)
            size = (round(width * scale) // 2 * 2, round(height * scale) // 2 * 2)
            images.append(frame.pixels("rgb24", *size))
    return images, fps


def _each(
    images: Images, fps: float, level: float, rng: np.random.Generator, *, apply: Callable[..., np.ndarray]
) -> Iterator[np.ndarray]:
    for image in images:
        yield apply(image, level, rng)


def _blur(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), level * image.shape[0]))


def _expose(image: np.ndarray, stops: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply linear light by 2 ** stops, with the sRGB curve."""
    return np.asarray(_curve(stops)[image])


def _curve(stops: float) -> np.ndarray:
    code = np.arange(256) / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    light = np.clip(light * 2.0**stops, 0, 1)
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(code * 255), np.uint8)


def _add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    return np.asarray(np.clip(image + grain + 0.5, 0, 255), np.uint8)


def _letterbox(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    bar = round(image.shape[0] * share / 2)
    content = image[bar : len(image) - bar]
    return np.asarray(cv2.copyMakeBorder(content, bar, bar, 0, 0, cv2.BORDER_CONSTANT))


def _freeze(images: Images, fps: float, share: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Replace a stretch in the middle by its first frame."""
    held = round(len(images) * share)
    start = (len(images) - held) // 2
    yield from (images[start if start <= k < start + held else k] for k in range(len(images)))


def _subtitle(images: Images, fps: float, size: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw a line of white letters with black outlines at the bottom; every 2 s another line."""
    for k, image in enumerate(images):
        text, height = LINES[int(k / fps / 2) % len(LINES)], image.shape[0]
        scale, thick = size * height / 21, max(1, round(size * height / 12))  # capitals are 21 px at scale 1
        (width, _), _ = cv2.getTextSize(text, FONT, scale, thick)
        position = ((image.shape[1] - width) // 2, round(height * 0.92))
        shown = cv2.putText(image.copy(), text, position, FONT, scale, (0, 0, 0), 3 * thick, cv2.LINE_AA)
        yield cv2.putText(shown, text, position, FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)


def _logo(images: Images, fps: float, size: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw a ring and two letters in the upper right corner, with opacity 0.8."""
    height, width = images[0].shape[:2]
    side, mark = size * height, np.zeros((height, width), np.uint8)
    centre = (round(width - height * 0.06 - side / 2), round(height * 0.06 + side / 2))
    cv2.circle(mark, centre, round(side * 0.42), 255, max(2, round(side * 0.1)), cv2.LINE_AA)
    corner = (round(centre[0] - side * 0.24), round(centre[1] + side * 0.12))
    cv2.putText(mark, "TV", corner, FONT, side / 85, 255, max(1, round(side / 20)), cv2.LINE_AA)
    cover = mark[..., None] / 255 * 0.8
    for image in images:
        yield np.rint(image * (1 - cover) + 245 * cover).astype(np.uint8)


def _shake(images: Images, fps: float, level: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shake at 3 … 8 Hz, slower if the frame rate is low. `level` is the root mean square in longer sides.

    Zoom in to hide the margins.
    """
    height, width = images[0].shape[:2]
    times, offsets = np.arange(len(images)) / fps, np.zeros((2, len(images)))
    fastest = min(8, fps / 3)
    for axis in range(2):
        for hertz in rng.uniform(min(3, fastest), fastest, 4):
            offsets[axis] += np.sin(2 * np.pi * (hertz * times + rng.random()))
    offsets *= level * max(width, height) / np.sqrt(2) / np.sqrt((offsets**2).mean(axis=1, keepdims=True))
    zoom = 1 + 2 * np.abs(offsets).max() / min(width, height)
    for image, (right, down) in zip(images, offsets.T, strict=True):
        corner = [(1 - zoom) * width / 2 + right, (1 - zoom) * height / 2 + down]
        warp = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        yield cv2.warpAffine(
            image, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )


def _slides(images: Images, fps: float, level: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Show three still images with dissolves of half a second; each rests for a share of its time.

    In the remaining time it grows slowly, by 5 % per s. The images are parts of three frames of the clip.
    """
    height, width = images[0].shape[:2]
    stills = []
    for number, (top, left) in enumerate(((0, 0), (0.3, 0.3), (0.1, 0.4))):
        image = images[number * (len(images) - 1) // 2]
        part = image[round(top * height) :, round(left * width) :][
            : round(0.6 * height), : round(0.6 * width)
        ]
        stills.append(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC))
    slide, dissolve = round(MAX_DURATION_S / 3 * fps), round(fps / 2)

    def image_at(number: int, k: int) -> np.ndarray:
        since_s = max(0.0, k - number * slide - level * slide) / fps
        if level >= 1 or not since_s:
            return stills[number]
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1 + 0.05 * since_s)
        return cv2.warpAffine(stills[number], warp, (width, height), flags=cv2.INTER_LINEAR)

    for k in range(3 * slide):
        number, progress = k // slide, (k % slide + 1) / (dissolve + 1)
        if number and progress < 1:
            yield cv2.addWeighted(image_at(number - 1, k), 1 - progress, image_at(number, k), progress, 0)
        else:
            yield image_at(number, k)


DEFECTS = {
    "blur": Defect((0.004, 0.008, 0.016), "sigma, in image heights", partial(_each, apply=_blur)),
    "darkness": Defect((-3, -5, -7), "stops", partial(_each, apply=_expose)),
    "over-exposure": Defect((1, 2, 3), "stops", partial(_each, apply=_expose)),
    "noise": Defect(
        (6, 12, 24), "sigma of each color channel, in levels of 255", partial(_each, apply=_add_noise)
    ),
    "low bit rate": Defect((34, 40, 46), "crf of x264", crf=True),
    "freeze": Defect((0.25, 0.5, 0.75), "share of the duration", _freeze),
    "letterbox": Defect((0.12, 0.25, 0.4), "share of the image height", partial(_each, apply=_letterbox)),
    "subtitles": Defect((0.03, 0.045, 0.07), "height of capitals, in image heights", _subtitle),
    "logo": Defect((0.08, 0.13, 0.2), "height of the logo, in image heights", _logo),
    "shake": Defect((0.004, 0.01, 0.025), "root mean square, in longer sides", _shake),
    "slideshow": Defect((0.6, 0.8, 1.0), "share of the duration at rest", _slides),
}
