"""Copies of a real clip as they are found in the wild: what is done to it, each edit with its strength."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.planting import DEFECTS, SANE_CRF, Pictures, read
from stages.media.encode import write_mp4

Edit = Callable[[Pictures, Fraction], tuple[Pictures, Fraction]]


def _resized(pictures: Pictures, fps: Fraction, scale: float) -> tuple[Pictures, Fraction]:
    height, width = pictures[0].shape[:2]
    size = (round(width * scale) // 2 * 2, round(height * scale) // 2 * 2)
    return [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures], fps


def _cropped(
    pictures: Pictures, fps: Fraction, share: float, left: float = 0.5, top: float = 0.5
) -> tuple[Pictures, Fraction]:
    """Without a share of each side's length, `left` of what goes from the left."""
    height, width = pictures[0].shape[:2]
    x, y = round(width * share * left), round(height * share * top)
    w, h = round(width * (1 - share)) // 2 * 2, round(height * (1 - share)) // 2 * 2
    return [np.ascontiguousarray(p[y : y + h, x : x + w]) for p in pictures], fps


def _faster(pictures: Pictures, fps: Fraction, times: float) -> tuple[Pictures, Fraction]:
    count = int(len(pictures) / times)
    return [pictures[min(int(k * times), len(pictures) - 1)] for k in range(count)], fps


def _later(pictures: Pictures, fps: Fraction, share: float) -> tuple[Pictures, Fraction]:
    """Begins later, by a share of its length."""
    return pictures[round(len(pictures) * share) :], fps


def _earlier(pictures: Pictures, fps: Fraction, share: float) -> tuple[Pictures, Fraction]:
    """Ends earlier."""
    return pictures[: len(pictures) - round(len(pictures) * share)], fps


def _rated(pictures: Pictures, fps: Fraction, rate: int) -> tuple[Pictures, Fraction]:
    """Shown at another frame rate, at the same speed."""
    count = round(len(pictures) / fps * rate)
    return [pictures[min(int(k * fps / rate), len(pictures) - 1)] for k in range(count)], Fraction(rate)


def _marked(pictures: Pictures, fps: Fraction, size: float) -> tuple[Pictures, Fraction]:
    plant = DEFECTS["logo"].plant
    assert plant is not None
    return list(plant(pictures, float(fps), size, np.random.default_rng(0))), fps


def _coloured(
    pictures: Pictures, fps: Fraction, gains: tuple[float, float, float], gamma: float, colour: float
) -> tuple[Pictures, Fraction]:
    """Each of red, green and blue by a gain, then light by a power, then colours away from grey."""
    made = []
    for picture in pictures:
        light = np.clip(picture / 255 * gains, 0, 1) ** gamma
        grey = light.mean(axis=-1, keepdims=True)
        made.append((np.clip(grey + (light - grey) * colour, 0, 1) * 255).round().astype(np.uint8))
    return made, fps


def _in_turn(pictures: Pictures, fps: Fraction, edits: tuple[Edit, ...]) -> tuple[Pictures, Fraction]:
    for edit in edits:
        pictures, fps = edit(pictures, fps)
    return pictures, fps


EDITS: dict[str, tuple[Edit, int]] = {
    "encoded again, crf 28": (partial(_resized, scale=1.0), 28),
    "encoded again, crf 38": (partial(_resized, scale=1.0), 38),
    "a half of the size": (partial(_resized, scale=0.5), 26),
    "a quarter of the size": (partial(_resized, scale=0.25), 26),
    "cropped by 5 %": (partial(_cropped, share=0.05), 23),
    "cropped by 10 %": (partial(_cropped, share=0.1), 23),
    "cropped by 10 %, a corner": (partial(_cropped, share=0.1, left=0.0, top=1.0), 23),
    "cropped by 15 %": (partial(_cropped, share=0.15), 23),
    "played 1.25 times as fast": (partial(_faster, times=1.25), 23),
    "played 0.8 times as fast": (partial(_faster, times=0.8), 23),
    "begins later, by a tenth": (partial(_later, share=0.1), 23),
    "begins later, by a fifth": (partial(_later, share=0.2), 23),
    "ends earlier, by a fifth": (partial(_earlier, share=0.2), 23),
    "at 15 frames a second": (partial(_rated, rate=15), 23),
    "a logo": (partial(_marked, size=0.13), 23),
    "a large logo": (partial(_marked, size=0.2), 23),
    "warmer": (partial(_coloured, gains=(1.1, 1.0, 0.88), gamma=1.0, colour=1.0), 23),
    "cooler and paler": (partial(_coloured, gains=(0.92, 1.0, 1.1), gamma=1.0, colour=0.7), 23),
    "brighter": (partial(_coloured, gains=(1.0, 1.0, 1.0), gamma=0.75, colour=1.0), 23),
    "darker, more contrast": (partial(_coloured, gains=(1.0, 1.0, 1.0), gamma=1.35, colour=1.1), 23),
    "small, cropped, logo, warmer": (
        partial(
            _in_turn,
            edits=(
                partial(_cropped, share=0.06),
                partial(_resized, scale=0.6),
                partial(_marked, size=0.1),
                partial(_coloured, gains=(1.06, 1.0, 0.93), gamma=0.9, colour=1.0),
            ),
        ),
        30,
    ),
}


def copy(video: Path, target: Path, edit: str = "") -> bool:
    """Write the first seconds of a clip with an edit, or without one; False if it is too short."""
    pictures, fps = read(video)
    if len(pictures) < 1.5 * fps:
        return False
    crf = SANE_CRF
    if edit:
        how, crf = EDITS[edit]
        pictures, fps = how(pictures, fps)
    write_mp4(target, iter(pictures), fps, crf=crf, preset="superfast")
    return True
