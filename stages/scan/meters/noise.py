"""Noise: how luma varies between neighboring pixels in flat areas, and again from frame to frame."""

import math
from collections.abc import Sequence

import numpy as np

from stages.scan.meter import FrameView

BLOCK = 8  # side of the blocks that are sorted by flatness, px
MAX_PX = 30_000  # pixels measured; larger frames are sampled in evenly spaced bands of one block's height
FLATTEST_SHARE = 0.2  # share of the blocks that counts as flat; few images have less
MIN_LUMA, MAX_LUMA = (
    24,
    228,
)  # mean luma of blocks beyond which noise is clipped; coded black is 16, white 235
GAIN = 2  # steps of the filter response per luma level; 8 bits are enough for noise of sigma 26
PER_SIGMA = GAIN * 6 * math.sqrt(2 / math.pi)  # mean response to Gaussian noise of sigma 1
MAX_REPEATS = 3  # frames after a still that may repeat it


class Noise:
    """Noise after Immerkaer (1996): the second difference in x of that in y, in blocks of the coded frame.

    The filter does not respond to slopes, nor to straight horizontal or vertical edges. It responds to
    texture as to noise, but texture is still there in the next frame unless it moves. So each block counts
    with its response, or with the change of its response since the previous frame, whichever is smaller. The
    value is the highest of the fifth of the blocks with the smallest values. It is given at the first frame
    after a still that does not repeat the still; NaN at all others.
    """

    columns = {"noise": "standard deviation of luma between pixels, in the flattest fifth [0..255]"}

    def __init__(self) -> None:
        self._still_response: np.ndarray | None = None
        self._frames_left = 0

    def update(self, view: FrameView) -> Sequence[float]:
        import cv2

        if view.still is None and not self._frames_left:
            return (math.nan,)
        bands = _bands(view.luma)
        count, width = bands.shape[0] // (BLOCK + 2), bands.shape[1] // BLOCK * BLOCK
        if not count or not width:
            return (math.nan,)
        current, previous = cv2.Sobel(bands, cv2.CV_16S, 2, 2, ksize=3), self._still_response
        noise = math.nan
        if self._frames_left and previous is not None and previous.shape == current.shape:
            self._frames_left -= 1
            changes = cv2.absdiff(current, previous)
            if not self._frames_left or cv2.countNonZero(changes) * 100 > changes.size:
                spatial = _block_means(cv2.convertScaleAbs(current, alpha=GAIN), count, width)
                temporal = _block_means(cv2.convertScaleAbs(changes, alpha=GAIN / math.sqrt(2)), count, width)
                noise = _flattest(np.minimum(spatial, temporal), _block_means(bands, count, width))
                self._frames_left = 0
        if view.still is not None:
            self._still_response, self._frames_left = current, MAX_REPEATS
        return (noise,)


def _flattest(noise: np.ndarray, luma: np.ndarray) -> float:
    """Return the standard deviation at the quantile `FLATTEST_SHARE` of the blocks that are not clipped."""
    usable = noise[(luma >= MIN_LUMA) & (luma <= MAX_LUMA)]
    usable = usable if usable.size * 20 >= noise.size else noise
    rank = int(usable.size * FLATTEST_SHARE)
    return float(np.partition(usable, rank)[rank]) / PER_SIGMA


def _bands(luma: np.ndarray) -> np.ndarray:
    """Return bands of a block's height plus a line above and below, stacked; uint8 [n w]."""
    height, width = luma.shape
    if height < BLOCK + 2:
        return luma[:0]
    spacing = (BLOCK + 2) * max(1, round(luma.size / MAX_PX))
    count = height // spacing
    if not count:  # the frame is lower than the spacing
        count, spacing = 1, height
    return luma[: count * spacing].reshape(count, -1, width)[:, : BLOCK + 2].reshape(-1, width)


def _block_means(lines: np.ndarray, count: int, width: int) -> np.ndarray:
    """Return the mean of each block of the bands, by halving three times; uint8 [blocks]."""
    import cv2

    blocks = np.ascontiguousarray(lines.reshape(count, BLOCK + 2, -1)[:, 1:-1, :width]).reshape(-1, width)
    for _ in range(3):
        blocks = cv2.resize(blocks, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return blocks.ravel()
