"""Motion from the codec's motion vectors: cheaper than optical flow, and only as accurate as the encoder."""

import math
from collections.abc import Sequence

import numpy as np

from stages.media.decoding.orientation import MIRRORED
from stages.scan.meter import FrameView

PREDICTED, BIDIRECTIONAL = 2, 3  # AV_PICTURE_TYPE_P, AV_PICTURE_TYPE_B


class MotionVectors:
    """Motion vectors of H.264, MPEG-1, MPEG-2 and MPEG-4, as exported by FFmpeg; not a default meter.

    Only frames predicted from the past (P frames) have values. Their vectors are assumed to refer to the last
    shown P or I frame. All other frames, and all frames of other codecs (HEVC, VP8, VP9, AV1), are NaN.

    Limits: An encoder chooses the vectors that are cheap to code. On flat areas they are noise, or zero. A
    block may refer to an older frame than assumed; then its vector is too long. A fast preset finds no fast
    motion. Roll and zoom are not separated from shifts. Blocks without a vector are ignored. Use the `motion`
    meter for labels and thresholds.
    """

    needs_motion_vectors = True  # the decoder exports them
    columns = {
        "vector_motion": "mean length of the codec's motion vectors, weighted by area [longer sides/s]",
        "vector_pan": "camera motion to the right, from the median vector [longer sides/s]",
        "vector_tilt": "camera motion upwards, from the median vector [longer sides/s]",
        "vector_share": "share of the frame that has a vector [0..1]",
    }

    def __init__(self) -> None:
        self._reference_s = math.nan  # time of the last frame from which others are predicted

    def update(self, view: FrameView) -> Sequence[float]:
        frame = view.frame
        kind = int(frame.raw.pict_type)
        interval_s = view.time_s - self._reference_s
        if kind != BIDIRECTIONAL:
            self._reference_s = view.time_s
        vectors = frame.motion_vectors() if kind == PREDICTED and interval_s > 0 else None
        vectors = None if vectors is None else vectors[vectors["source"] < 0]
        if vectors is None or not len(vectors):
            return (math.nan,) * 4
        width, height = frame.raw.width, frame.raw.height
        scale = vectors["motion_scale"].astype(float) * max(width, height) * interval_s
        right, down = vectors["motion_x"] / scale, vectors["motion_y"] / scale  # of the view over the image
        area = vectors["w"].astype(float) * vectors["h"]
        pan, tilt = _upright(_median(right, area), _median(down, area), frame.orientation)
        share = min(1.0, float(area.sum()) / (width * height))
        return float(np.average(np.hypot(right, down), weights=area)), pan, -tilt, share


def _upright(right: float, down: float, orientation: int) -> tuple[float, float]:
    """Turn a displacement in the coded frame into one in the upright frame."""
    if orientation >= MIRRORED:
        right = -right
    for _ in range(orientation % 4):
        right, down = down, -right
    return right, down


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, cumulative[-1] / 2)]])
