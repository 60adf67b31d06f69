"""Optical flow (DIS): extrapolates a video at constant velocity, and carries masks along a video."""

from typing import Any

import numpy as np
import numpy.typing as npt

from training.metrics.world.matches import Frames, require_opencv

Labels = npt.NDArray[np.uint8]  # [h w] or [t h w]; 0 is no object
MIN_SIDE_PX = 16  # DIS fails on smaller frames


class OpticalFlow:
    """Dense inverse search. Source: Kroeger et al. 2016, arXiv:1603.03590; OpenCV's medium preset."""

    def __init__(self) -> None:
        cv2 = require_opencv()
        self._cv2 = cv2
        self._method: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(
        self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        """Flow (x, y) in px per frame, [h w 2]: the place in `second` of each pixel of `first`."""
        grays = [self._cv2.cvtColor(each, self._cv2.COLOR_RGB2GRAY) for each in (first, second)]
        flow: npt.NDArray[np.float32] = self._method.calc(*grays, None)
        return flow


def extrapolate(before: npt.NDArray[np.uint8], last: npt.NDArray[np.uint8], count: int) -> Frames:
    """Frames 1 … count after `last` at the velocity between `before` and `last`, [count h w 3].

    The value at x of frame n is that of `last` at x - n v(x), with v = minus the flow from `last` to
    `before`.
    """
    cv2 = require_opencv()
    h, w = last.shape[:2]
    backward = OpticalFlow()(last, before) if min(h, w) >= MIN_SIDE_PX else np.zeros((h, w, 2), np.float32)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    frames = np.empty((count, h, w, 3), np.uint8)
    for number in range(count):
        steps = number + 1
        places = (x + steps * backward[..., 0], y + steps * backward[..., 1])
        frames[number] = cv2.remap(last, *places, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    return frames


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
