"""Motion as the codec recorded it: cheaper than to look, and as right as the encoder cared to be."""

import math
from collections.abc import Sequence

import numpy as np

from stages.media.orientation import MIRRORED
from stages.scan.meter import View

PREDICTED, BIDIRECTIONAL = 2, 3  # AV_PICTURE_TYPE_P, AV_PICTURE_TYPE_B


class Vectors:
    """The motion vectors of H.264 and MPEG-1, -2 and -4, where FFmpeg gives them; for a scan that names it.

    Said of frames predicted from the past alone (P). They are taken to come from the frame of such a kind, or
    intra, that was shown last. NaN on all others, and on all frames of other codecs (HEVC, VP8, VP9, AV1).

    What it cannot do: an encoder chooses the vectors that code cheaply. On flat ground they are noise, or
    zero; a block may come from an older frame than is believed here, and its vector is then too long; a fast
    preset finds no fast motion; roll and zoom are not told from shifts. What has no vector is left out. Use
    the `motion` meter for labels and thresholds.
    """

    reads_vectors = True  # the decoder is asked to keep them
    columns = {
        "vector_motion": "mean length of the codec's vectors, by area [longer sides/s]",
        "vector_pan": "camera to the right, from the median vector [longer sides/s]",
        "vector_tilt": "camera upwards, from the median vector [longer sides/s]",
        "vector_share": "share of the picture that has a vector [0..1]",
    }

    def __init__(self) -> None:
        self._before_s = math.nan  # time of the last frame from which others are predicted

    def update(self, view: View) -> Sequence[float]:
        frame = view.coded
        kind = int(frame.raw.pict_type)
        since_s = view.time_s - self._before_s
        if kind != BIDIRECTIONAL:
            self._before_s = view.time_s
        found = frame.vectors() if kind == PREDICTED and since_s > 0 else None
        found = None if found is None else found[found["source"] < 0]
        if found is None or not len(found):
            return (math.nan,) * 4
        width, height = frame.raw.width, frame.raw.height
        scale = found["motion_scale"].astype(float) * max(width, height) * since_s
        right, down = found["motion_x"] / scale, found["motion_y"] / scale  # of the view over the picture
        area = found["w"].astype(float) * found["h"]
        pan, tilt = _upright(_median(right, area), _median(down, area), frame.turns)
        share = min(1.0, float(area.sum()) / (width * height))
        return float(np.average(np.hypot(right, down), weights=area)), pan, -tilt, share


def _upright(right: float, down: float, turns: int) -> tuple[float, float]:
    """A way in the coded picture as it is shown."""
    if turns >= MIRRORED:
        right = -right
    for _ in range(turns % 4):
        right, down = down, -right
    return right, down


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    run = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(run, run[-1] / 2)]])
