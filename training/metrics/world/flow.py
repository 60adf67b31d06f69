"""Optical flow (DIS): extrapolates a video at constant velocity, and carries masks along a video."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.metrics.world.matches import Frames, require_opencv

Labels = npt.NDArray[np.uint8]  # [h w] or [t h w]; 0 is no object
MIN_SIDE_PX = 16  # DIS fails on smaller frames
FLOW_SIDE_PX = 128  # short side that smaller frames are scaled up to
ERROR_PX = 9  # side of the window of the error by which the flow of a color is chosen
MIN_COVER = 0.3  # of a pixel; with less it is filled


class OpticalFlow:
    """Dense inverse search. Source: Kroeger et al. 2016, arXiv:1603.03590.

    OpenCV's medium preset at full resolution; frames with a short side below 128 px are scaled up. Each
    pixel takes the flow of the color whose flow has the lowest error in all three, because objects and
    ground that differ in color may have equal luma.
    """

    def __init__(self) -> None:
        cv2 = require_opencv()
        self._cv2 = cv2
        self._method: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._method.setFinestScale(0)

    def __call__(
        self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        """Flow (x, y) in px per frame, [h w 2]: from each pixel of `first` to its place in `second`."""
        cv2, (h, w) = self._cv2, first.shape[:2]
        scale = max(1, -(-FLOW_SIDE_PX // min(h, w)))
        size = (w * scale, h * scale)
        first, second = (cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) for each in (first, second))
        y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
        best = np.full((size[1], size[0]), np.inf, np.float32)
        flow = np.zeros((size[1], size[0], 2), np.float32)
        for channel in range(3):
            planes = [np.ascontiguousarray(each[..., channel]) for each in (first, second)]
            found = self._method.calc(*planes, None)
            places = (x + found[..., 0], y + found[..., 1])
            warped = cv2.remap(second, *places, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
            error = cv2.absdiff(first, warped).astype(np.float32).sum(-1)
            error = cv2.blur(error, (ERROR_PX, ERROR_PX))
            better = error < best
            best[better], flow[better] = error[better], found[better]
        small: npt.NDArray[np.float32] = cv2.resize(flow, (w, h), interpolation=cv2.INTER_AREA) / scale
        return small


def extrapolate(before: npt.NDArray[np.uint8], last: npt.NDArray[np.uint8], numbers: Sequence[int]) -> Frames:
    """Frames after `last`, of which 1 is the next, at the velocity between `before` and `last`, [n h w 3].

    Frame n has the pixels of `last`, each moved by n times its velocity, the fastest ones on top. Places that
    no pixel reaches are filled from their surroundings.
    """
    cv2 = require_opencv()
    h, w = last.shape[:2]
    velocity = np.zeros((h, w, 2), np.float32)
    if min(h, w) >= MIN_SIDE_PX:
        velocity = -OpticalFlow()(last, before)
    frames = np.empty((len(numbers), h, w, 3), np.uint8)
    for place, number in enumerate(numbers):
        frame, weight = _splat(last, number * velocity)
        holes = (weight < MIN_COVER).astype(np.uint8)
        frames[place] = cv2.inpaint(frame, holes, 3, cv2.INPAINT_TELEA) if holes.any() else frame
    return frames


def _splat(image: npt.NDArray[np.uint8], shift: npt.NDArray[np.float32]) -> tuple[Any, Any]:
    """The image with each pixel moved by `shift`, bilinear, and how much of each pixel is covered, [h w]."""
    h, w = image.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float64)
    x, y = (x + shift[..., 0]).ravel(), (y + shift[..., 1]).ravel()
    speed = np.linalg.norm(shift, axis=-1).ravel()
    front = np.exp(np.minimum(4 * speed, 40))  # what moves faster is taken as nearer
    values = image.reshape(-1, 3).astype(np.float64)
    total, weight, cover = np.zeros((h * w, 3)), np.zeros(h * w), np.zeros(h * w)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = np.abs(1 - dx - (x - x0)) * np.abs(1 - dy - (y - y0))
        column, row = x0 + dx, y0 + dy
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        place = row[inside] * w + column[inside]
        cover += np.bincount(place, share[inside], h * w)
        strength = (share * front)[inside]
        weight += np.bincount(place, strength, h * w)
        for color in range(3):
            total[:, color] += np.bincount(place, strength * values[inside, color], h * w)
    moved = total / np.maximum(weight, np.finfo(float).tiny)[:, None]
    return np.clip(moved + 0.5, 0, 255).astype(np.uint8).reshape(h, w, 3), cover.reshape(h, w)


def carry_masks(labels: Labels, frames: Frames) -> Labels:
    """Masks of objects in each frame, [t h w]: those of the first frame, carried along by optical flow.

    Errors add up over the frames, and what comes into view has no mask. The same tracker on the reference
    itself says how good it is.

    Raises:
        ValueError: The masks have another size than the frames.
    """
    cv2 = require_opencv()
    h, w = frames.shape[1:3]
    if labels.shape != (h, w):
        raise ValueError(f"masks of {labels.shape[::-1]} px do not fit frames of {w} x {h} px")
    if min(h, w) < MIN_SIDE_PX:
        raise ValueError(f"frames of {w} x {h} px are too small for optical flow")
    flow = OpticalFlow()
    y, x = np.mgrid[:h, :w].astype(np.float32)
    carried = np.empty(frames.shape[:3], np.uint8)
    carried[0] = labels
    for number in range(1, len(frames)):
        backward = flow(frames[number], frames[number - 1])
        places = (x + backward[..., 0], y + backward[..., 1])
        carried[number] = cv2.remap(
            carried[number - 1], *places, cv2.INTER_NEAREST, None, cv2.BORDER_REPLICATE
        )
    return carried
