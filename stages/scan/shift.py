"""Global shift between consecutive frames, from sums over columns and rows; compiled by numba.

The sums are integers, so every machine gets the same result.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Sums = npt.NDArray[np.int32]

BANDS = 3  # bands of the image; each gives its own shift
BAND_WEIGHTS = (1.0, 0.5, 1.0)  # moving objects are mostly in the middle band
SMALL_PX = 5  # shifts up to this one are tried first
MAX_SHARE = 0.25  # longest shift, as a share of the side
GOOD_MATCH = 0.35  # difference, as a share of the contrast, at which a small shift is accepted at once
BLACK = 12  # maximum mean of a line of a black bar, of 255
DISTANCE_COST = 0.4  # cost of a shift by a whole side, as a share of the contrast
POOR_MATCH = 0.75  # difference, as a share of the contrast, above which the band has no match


@njit(cache=True, nogil=True)
def frame_shift(
    gray: npt.NDArray[np.uint8], lines: Sums, previous: Sums
) -> tuple[float, float, tuple[int, int, int, int]]:
    """Measure how far the image moved to the right and down since the previous frame, in px.

    Args:
        gray: Current frame, uint8 [h w].
        lines: Output, int32 [BANDS w + h]: the sums over columns and over rows of the current frame.
        previous: `lines` of the previous frame. Empty, [0 w + h], at the first frame: both shifts are NaN.

    Returns:
        Shift to the right, shift down, and the box without black bars: left, top, right, bottom, in px.
    """
    width = gray.shape[1]
    box = line_sums(gray, lines[:, :width], lines[:, width:])
    if not previous.shape[0]:
        return np.nan, np.nan, box
    across = shift_along(previous[:, :width], lines[:, :width], box[0], box[2])
    down = shift_along(previous[:, width:], lines[:, width:], box[1], box[3])
    return across, down, box


@njit(cache=True, nogil=True)
def line_sums(gray: npt.NDArray[np.uint8], columns: Sums, rows: Sums) -> tuple[int, int, int, int]:
    """Write the line sums of each band, and return the box without black bars: left, top, right, bottom.

    `columns`, int32 [BANDS w], gets the column sums of the horizontal bands; `rows`, int32 [BANDS h], the row
    sums of the vertical bands.
    """
    height, width = gray.shape
    columns[:] = 0
    for band in range(BANDS):
        sums = columns[band]
        for y in range(band * height // BANDS, (band + 1) * height // BANDS):
            line = gray[y]
            for x in range(width):
                sums[x] += line[x]
        first, last = band * width // BANDS, (band + 1) * width // BANDS
        for y in range(height):
            strip, total = gray[y, first:last], np.int32(0)
            for x in range(last - first):
                total += strip[x]
            rows[band, y] = total
    left, right = content_range(columns, height)
    top, bottom = content_range(rows, width)
    return left, top, right, bottom


@njit(cache=True, nogil=True)
def content_range(sums: Sums, across: int) -> tuple[int, int]:
    """Return where the content starts and ends between black lines; the whole side if little is left."""
    length = sums.shape[1]
    first, last = 0, length
    while first < length and sums[0, first] + sums[1, first] + sums[2, first] <= BLACK * across:
        first += 1
    while last > first and sums[0, last - 1] + sums[1, last - 1] + sums[2, last - 1] <= BLACK * across:
        last -= 1
    if last - first < length // 3:
        return 0, length
    return (first + 2 if first else 0), (last - 2 if last < length else length)


@njit(cache=True, nogil=True)
def shift_along(previous: Sums, current: Sums, first: int, last: int) -> float:
    """Return the shift along one side in px: the median of the bands' shifts, weighted by their contrast.

    NaN if most bands have no match, 0 if there is no contrast.
    """
    shifts, weights = np.zeros(BANDS), np.zeros(BANDS)
    lost = total = 0.0
    edges = np.empty((2, last - first), np.int32)
    for band in range(BANDS):
        shift, weight, poor = _band_shift(previous[band, first:last], current[band, first:last], edges)
        weight *= BAND_WEIGHTS[band]
        total += weight
        if poor:
            lost += weight
        else:
            shifts[band], weights[band] = shift, weight
    if total <= 0:
        return 0.0
    if 2 * lost > total:
        return np.nan
    found, half = np.inf, (total - lost) / 2
    for k in range(BANDS):
        cumulative = 0.0
        for j in range(BANDS):
            if shifts[j] <= shifts[k]:
                cumulative += weights[j]
        if weights[k] > 0 and cumulative >= half:
            found = min(found, shifts[k])
    return float(found)


@njit(cache=True, nogil=True)
def _band_shift(previous: Sums, current: Sums, edges: Sums) -> tuple[float, float, bool]:
    """Return shift in px, contrast, and whether the match is poor, of one band.

    `edges`, int32 [2 n], is scratch memory for the differences of neighboring sums.
    """
    count = previous.size - 2
    old, new = edges[0], edges[1]
    contrast = np.int64(0)
    for x in range(count):
        old[x], new[x] = previous[x + 2] - previous[x], current[x + 2] - current[x]
        contrast += abs(old[x]) + abs(new[x])
    if contrast == 0:
        return 0.0, 0.0, False
    mean_contrast = contrast / (2 * count)
    reach = int(count * MAX_SHARE)
    best, best_step = np.inf, 0
    for k in range(2 * reach + 1):  # from 0 outwards: of equal matches, the shorter shift wins
        if k == 2 * SMALL_PX + 1 and best < GOOD_MATCH * mean_contrast:
            break
        step = (k + 1) // 2 if k % 2 else -(k // 2)
        start, end = max(0, -step), min(count, count - step)
        one, two, total = old[start:end], new[start + step : end + step], np.int32(0)
        for x in range(end - start):
            total += abs(one[x] - two[x])
        cost = total / (end - start) + DISTANCE_COST * mean_contrast * abs(step) / count
        if cost < best:
            best, best_step = cost, step
    poor = bool(best > POOR_MATCH * mean_contrast)
    return best_step + _subpixel(old, new, count, best_step), float(contrast), poor


@njit(cache=True, nogil=True)
def _subpixel(old: Sums, new: Sums, count: int, step: int) -> float:
    """Return the fraction of a px to add to a shift of whole px, by two Gauss-Newton steps."""
    fraction = 0.0
    start, end = max(2, 2 - step), min(count - 2, count - 2 - step)
    for _ in range(2):
        if abs(fraction) > 1:
            break
        floor = int(np.floor(fraction))
        share = fraction - floor
        numerator = denominator = 0.0
        for x in range(start, end):
            moved = x + step + floor
            if moved < 0 or moved + 1 >= count:
                continue
            slope = (old[x + 1] - old[x - 1]) * 0.5
            numerator += slope * (new[moved] * (1 - share) + new[moved + 1] * share - old[x])
            denominator += slope * slope
        if denominator <= 0:
            break
        fraction -= numerator / denominator
    return min(1.0, max(-1.0, fraction))
