"""Edits that make realistic copies of a real clip, such as crops, logos and speed changes."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.workloads.planting import CLEAN_CRF, DEFECTS, Images, read_clip
from stages.media.encoding.arrays import write_mp4

Edit = Callable[[Images, Fraction], tuple[Images, Fraction]]


def _resized(images: Images, fps: Fraction, scale: float) -> tuple[Images, Fraction]:
    height, width = images[0].shape[:2]
    size = (round(width * scale) // 2 * 2, round(height * scale) // 2 * 2)
    return [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in images], fps


def _cropped(
    images: Images, fps: Fraction, share: float, left: float = 0.5, top: float = 0.5
) -> tuple[Images, Fraction]:
    """Crop `share` of the width and the height; `left` and `top` are the fractions removed at these sides."""
    height, width = images[0].shape[:2]
    x, y = round(width * share * left), round(height * share * top)
    w, h = round(width * (1 - share)) // 2 * 2, round(height * (1 - share)) // 2 * 2
    return [np.ascontiguousarray(p[y : y + h, x : x + w]) for p in images], fps


def _speed_changed(images: Images, fps: Fraction, factor: float) -> tuple[Images, Fraction]:
    count = int(len(images) / factor)
    return [images[min(int(k * factor), len(images) - 1)] for k in range(count)], fps


def _start_trimmed(images: Images, fps: Fraction, share: float) -> tuple[Images, Fraction]:
    """Remove `share` of the length at the start."""
    return images[round(len(images) * share) :], fps


def _end_trimmed(images: Images, fps: Fraction, share: float) -> tuple[Images, Fraction]:
    """Remove `share` of the length at the end."""
    return images[: len(images) - round(len(images) * share)], fps


def _resampled(images: Images, fps: Fraction, rate: int) -> tuple[Images, Fraction]:
    """Another frame rate at the same speed."""
    count = round(len(images) / fps * rate)
    return [images[min(int(k * fps / rate), len(images) - 1)] for k in range(count)], Fraction(rate)


def _mirrored(images: Images, fps: Fraction) -> tuple[Images, Fraction]:
    return [np.ascontiguousarray(p[:, ::-1]) for p in images], fps


def _with_logo(images: Images, fps: Fraction, size: float) -> tuple[Images, Fraction]:
    plant = DEFECTS["logo"].plant
    assert plant is not None
    return list(plant(images, float(fps), size, np.random.default_rng(0))), fps


def _color_graded(
    images: Images, fps: Fraction, gains: tuple[float, float, float], gamma: float, color: float
) -> tuple[Images, Fraction]:
    """Multiply red, green and blue by gains, apply a gamma, and scale the saturation by `color`."""
    graded = []
    for image in images:
        light = np.clip(image / 255 * gains, 0, 1) ** gamma
        gray = light.mean(axis=-1, keepdims=True)
        graded.append((np.clip(gray + (light - gray) * color, 0, 1) * 255).round().astype(np.uint8))
    return graded, fps


def _chained(images: Images, fps: Fraction, edits: tuple[Edit, ...]) -> tuple[Images, Fraction]:
    for edit in edits:
        images, fps = edit(images, fps)
    return images, fps


EDITS: dict[str, tuple[Edit, int]] = {
    "encoded again, crf 28": (partial(_resized, scale=1.0), 28),
    "encoded again, crf 38": (partial(_resized, scale=1.0), 38),
    "half of the size": (partial(_resized, scale=0.5), 26),
    "a quarter of the size": (partial(_resized, scale=0.25), 26),
    "cropped by 5 %": (partial(_cropped, share=0.05), 23),
    "cropped by 10 %": (partial(_cropped, share=0.1), 23),
    "cropped by 10 %, a corner": (partial(_cropped, share=0.1, left=0.0, top=1.0), 23),
    "cropped by 15 %": (partial(_cropped, share=0.15), 23),
    "1.25 times the speed": (partial(_speed_changed, factor=1.25), 23),
    "0.8 times the speed": (partial(_speed_changed, factor=0.8), 23),
    "10 % removed at the start": (partial(_start_trimmed, share=0.1), 23),
    "20 % removed at the start": (partial(_start_trimmed, share=0.2), 23),
    "20 % removed at the end": (partial(_end_trimmed, share=0.2), 23),
    "mirrored": (_mirrored, 23),
    "mirrored, cropped by 10 %": (partial(_chained, edits=(_mirrored, partial(_cropped, share=0.1))), 26),
    "15 frames per second": (partial(_resampled, rate=15), 23),
    "a logo": (partial(_with_logo, size=0.13), 23),
    "a large logo": (partial(_with_logo, size=0.2), 23),
    "warmer": (partial(_color_graded, gains=(1.1, 1.0, 0.88), gamma=1.0, color=1.0), 23),
    "cooler and paler": (partial(_color_graded, gains=(0.92, 1.0, 1.1), gamma=1.0, color=0.7), 23),
    "brighter": (partial(_color_graded, gains=(1.0, 1.0, 1.0), gamma=0.75, color=1.0), 23),
    "darker, more contrast": (partial(_color_graded, gains=(1.0, 1.0, 1.0), gamma=1.35, color=1.1), 23),
    "small, cropped, logo, warmer": (
        partial(
            _chained,
            edits=(
                partial(_cropped, share=0.06),
                partial(_resized, scale=0.6),
                partial(_with_logo, size=0.1),
                partial(_color_graded, gains=(1.06, 1.0, 0.93), gamma=0.9, color=1.0),
            ),
        ),
        30,
    ),
}


def copy(video: Path, target: Path, edit: str = "") -> bool:
    """Write the first seconds of a clip with an edit, or without one. Returns False if it is too short."""
    images, fps = read_clip(video)
    if len(images) < 1.5 * fps:
        return False
    crf = CLEAN_CRF
    if edit:
        apply, crf = EDITS[edit]
        images, fps = apply(images, fps)
    write_mp4(target, iter(images), fps, crf=crf, preset="superfast")
    return True
