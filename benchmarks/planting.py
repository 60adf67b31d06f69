"""Plants one known defect into a real clip, at a strength that has a physical meaning.

Strengths are in the unit that stands beside them, and do not depend on the size of the picture.
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

from stages.media.decode import open_video
from stages.media.encode import write_mp4

HIGHEST_PX, LONGEST_S, SHORTEST_S = 360, 5.0, 1.5
SANE_CRF = 20
STRENGTHS = ("weak", "medium", "strong")
FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = ("WHERE WERE YOU LAST NIGHT?", "I have told you already.", "Then tell me again", "- No. - Why not?")

Pictures = Sequence[np.ndarray]  # uint8 RGB [h w 3]


@dataclass(frozen=True)
class Defect:
    """What is planted: at which levels (weak, medium, strong) of what, and how.

    `plant` takes the pictures, their rate, the level and a generator. A level of an `every` defect
    is how many frames of the clip make one; one of a `crf` defect goes to the encoder.
    """

    levels: tuple[float, float, float]
    unit: str
    plant: Callable[[Pictures, float, float, np.random.Generator], Iterator[np.ndarray]] | None = None
    every: bool = False
    crf: bool = False


def plant(video: Path, target: Path, kind: str = "", strength: str = "medium") -> bool:
    """Write the clip with a defect planted, or untouched where `kind` is empty; both are encoded alike.

    At most `LONGEST_S` of it, at most `HIGHEST_PX` high. False where it leaves less than `SHORTEST_S`.
    """
    defect = DEFECTS.get(kind, Defect((0, 0, 0), ""))
    level = defect.levels[STRENGTHS.index(strength)]
    pictures, fps = read(video, int(level) if defect.every else 1)
    if len(pictures) < SHORTEST_S * fps:
        return False
    rng = np.random.default_rng(zlib.crc32(f"{video.name} {kind}".encode()))
    shown = defect.plant(pictures, float(fps), level, rng) if defect.plant else iter(pictures)
    write_mp4(target, shown, fps, crf=int(level) if defect.crf else SANE_CRF, preset="superfast")
    return True


@lru_cache(maxsize=2)
def read(video: Path, every: int = 1) -> tuple[Pictures, Fraction]:
    """The first frames of a clip, upright and of even sides, and the rate at which they are to be shown.

    Of a clip of more than 30 frames a second every second one is read, and so on.
    """
    with open_video(str(video)) as opened:
        skip = ceil(opened.fps / 31)
        fps = (opened.fps / skip).limit_denominator(1001)
        frames = islice(opened.frames(), 0, None, every * skip)
        pictures: list[np.ndarray] = []
        for frame in islice(frames, int(LONGEST_S * fps)):
            width, height = opened.shown_size(frame.turns)
            scale = min(1.0, HIGHEST_PX / height)
            size = (round(width * scale) // 2 * 2, round(height * scale) // 2 * 2)
            pictures.append(frame.pixels("rgb24", *size))
    return pictures, fps


def _each(
    pictures: Pictures, fps: float, level: float, rng: np.random.Generator, *, how: Callable[..., np.ndarray]
) -> Iterator[np.ndarray]:
    for picture in pictures:
        yield how(picture, level, rng)


def _blurred(picture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), level * picture.shape[0])


def _exposed(picture: np.ndarray, stops: float, rng: np.random.Generator) -> np.ndarray:
    """Light times 2 ** stops, by the sRGB curve."""
    return _curve(stops)[picture]


def _curve(stops: float) -> np.ndarray:
    code = np.arange(256) / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    light = np.clip(light * 2.0**stops, 0, 1)
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(np.uint8)


def _noisy(picture: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(sigma)
    return np.clip(picture + grain + 0.5, 0, 255).astype(np.uint8)


def _boxed(picture: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    bar = round(picture.shape[0] * share / 2)
    return cv2.copyMakeBorder(picture[bar : len(picture) - bar], bar, bar, 0, 0, cv2.BORDER_CONSTANT)


def _frozen(pictures: Pictures, fps: float, share: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One stretch in the middle repeats its first frame."""
    held = round(len(pictures) * share)
    start = (len(pictures) - held) // 2
    yield from (pictures[start if start <= k < start + held else k] for k in range(len(pictures)))


def _subtitled(pictures: Pictures, fps: float, size: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A line of white letters with black edges at the foot; another one every 2 s."""
    for k, picture in enumerate(pictures):
        text, height = LINES[int(k / fps / 2) % len(LINES)], picture.shape[0]
        scale, thick = size * height / 21, max(1, round(size * height / 12))  # capitals are 21 px at scale 1
        (width, _), _ = cv2.getTextSize(text, FONT, scale, thick)
        foot = ((picture.shape[1] - width) // 2, round(height * 0.92))
        shown = cv2.putText(picture.copy(), text, foot, FONT, scale, (0, 0, 0), 3 * thick, cv2.LINE_AA)
        yield cv2.putText(shown, text, foot, FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)


def _marked(pictures: Pictures, fps: float, size: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A ring and two letters in the upper right corner, four fifths opaque."""
    height, width = pictures[0].shape[:2]
    side, mark = size * height, np.zeros((height, width), np.uint8)
    centre = (round(width - height * 0.06 - side / 2), round(height * 0.06 + side / 2))
    cv2.circle(mark, centre, round(side * 0.42), 255, max(2, round(side * 0.1)), cv2.LINE_AA)
    corner = (round(centre[0] - side * 0.24), round(centre[1] + side * 0.12))
    cv2.putText(mark, "TV", corner, FONT, side / 85, 255, max(1, round(side / 20)), cv2.LINE_AA)
    cover = mark[..., None] / 255 * 0.8
    for picture in pictures:
        yield np.rint(picture * (1 - cover) + 245 * cover).astype(np.uint8)


def _shaken(pictures: Pictures, fps: float, level: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Thrown about at 3 … 8 Hz; `level` is the root mean square, in longer sides. Grown to have no margin."""
    height, width = pictures[0].shape[:2]
    times, throws = np.arange(len(pictures)) / fps, np.zeros((2, len(pictures)))
    for axis in range(2):
        for hertz in rng.uniform(3, min(8, fps / 3), 4):
            throws[axis] += np.sin(2 * np.pi * (hertz * times + rng.random()))
    throws *= level * max(width, height) / np.sqrt(2) / np.sqrt((throws**2).mean(axis=1, keepdims=True))
    grown = 1 + 2 * np.abs(throws).max() / min(width, height)
    for picture, (right, down) in zip(pictures, throws.T, strict=True):
        corner = [(1 - grown) * width / 2 + right, (1 - grown) * height / 2 + down]
        warp = np.array([[grown, 0, corner[0]], [0, grown, corner[1]]])
        yield cv2.warpAffine(
            picture, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )


def _slides(pictures: Pictures, fps: float, level: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Three pictures, parted by dissolves of half a second; each is at rest for a share of its time.

    The rest of the time it slowly grows, by 5 % a second. The pictures are three parts of frames of the clip.
    """
    height, width = pictures[0].shape[:2]
    held = []
    for number, (top, left) in enumerate(((0, 0), (0.3, 0.3), (0.1, 0.4))):
        picture = pictures[number * (len(pictures) - 1) // 2]
        part = picture[round(top * height) :, round(left * width) :][
            : round(0.6 * height), : round(0.6 * width)
        ]
        held.append(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC))
    each, mixed = round(LONGEST_S / 3 * fps), round(fps / 2)

    def shown(number: int, k: int) -> np.ndarray:
        since_s = max(0.0, k - number * each - level * each) / fps
        if level >= 1 or not since_s:
            return held[number]
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1 + 0.05 * since_s)
        return cv2.warpAffine(held[number], warp, (width, height), flags=cv2.INTER_LINEAR)

    for k in range(3 * each):
        number, into = k // each, (k % each + 1) / (mixed + 1)
        if number and into < 1:
            yield cv2.addWeighted(shown(number - 1, k), 1 - into, shown(number, k), into, 0)
        else:
            yield shown(number, k)


DEFECTS = {
    "blur": Defect((0.004, 0.008, 0.016), "sigma, in heights of the picture", partial(_each, how=_blurred)),
    "darkness": Defect((-3, -5, -7), "stops", partial(_each, how=_exposed)),
    "over-exposure": Defect((1, 2, 3), "stops", partial(_each, how=_exposed)),
    "noise": Defect((6, 12, 24), "sigma of each colour, of 255", partial(_each, how=_noisy)),
    "low bit rate": Defect((34, 40, 46), "crf of x264", crf=True),
    "freeze": Defect((0.25, 0.5, 0.75), "share of the time", _frozen),
    "letterbox": Defect((0.12, 0.25, 0.4), "share of the height", partial(_each, how=_boxed)),
    "subtitles": Defect((0.03, 0.045, 0.07), "height of capitals, in heights of the picture", _subtitled),
    "logo": Defect((0.08, 0.13, 0.2), "its height, in heights of the picture", _marked),
    "shake": Defect((0.004, 0.01, 0.025), "root mean square, in longer sides", _shaken),
    "speed-up": Defect((2, 4, 8), "times", every=True),
    "slideshow": Defect((0.6, 0.8, 1.0), "share of the time at rest", _slides),
}
