"""How far the picture slides from one frame to the next, from sums of columns and rows; compiled by numba.

Sums are of whole numbers, so that every machine finds the same.
"""

import numpy as np
from numba import njit

BANDS = 3  # strips of the picture, each of which has a say
SAYS = (1.0, 0.5, 1.0)  # what moves by itself is mostly in the middle
NEAR_PX, REACH = 5, 0.25  # the slides that are tried first; the longest one, of a side
GOOD = 0.35  # share of its contrast by which a strip may differ for a near slide to be taken
BLACK = 12  # mean of a line of a black bar, at most
FAR = 0.4  # shares of its contrast that a slide by a whole side costs
POOR = 0.75  # share of its contrast by which a strip may differ from itself before


@njit(cache=True, nogil=True)
def slides(gray, lines, before):
    """How far the picture slid to the right and down since the frame before, in px, and its box without bars.

    Args:
        gray: uint8 [h w].
        lines: int32 [BANDS w + h], written: the sums of columns and of rows.
        before: the same of the frame before; none, [0 w + h], at the first: its slides are NaN.
    """
    width = gray.shape[1]
    box = profiles(gray, lines[:, :width], lines[:, width:])
    if not before.shape[0]:
        return np.nan, np.nan, box
    across = slide(before[:, :width], lines[:, :width], box[0], box[2])
    down = slide(before[:, width:], lines[:, width:], box[1], box[3])
    return across, down, box


@njit(cache=True, nogil=True)
def profiles(gray, across, down):
    """Write the sums of lines of each strip, and give the box without black bars: left, top, right, foot.

    `across`, int32 [BANDS w], gets the columns of the strips lying, `down`, int32 [BANDS h], the rows of the
    strips standing.
    """
    height, width = gray.shape
    across[:] = 0
    for band in range(BANDS):
        sums = across[band]
        for y in range(band * height // BANDS, (band + 1) * height // BANDS):
            line = gray[y]
            for x in range(width):
                sums[x] += line[x]
        first, last = band * width // BANDS, (band + 1) * width // BANDS
        for y in range(height):
            strip, total = gray[y, first:last], np.int32(0)
            for x in range(last - first):
                total += strip[x]
            down[band, y] = total
    left, right = bars(across, height)
    top, foot = bars(down, width)
    return left, top, right, foot


@njit(cache=True, nogil=True)
def bars(sums, across):
    """Where the picture begins and ends between black lines; all of it where little is left."""
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
def slide(before, now, first, last):
    """The way of the picture along one side, in px: the middle of the strips' answers, by their texture.

    NaN where most strips do not find themselves again, 0 where there is no texture.
    """
    ways, says = np.zeros(BANDS), np.zeros(BANDS)
    lost = said = 0.0
    edges = np.empty((2, last - first), np.int32)
    for band in range(BANDS):
        way, say, poor = _strip(before[band, first:last], now[band, first:last], edges)
        say *= SAYS[band]
        said += say
        if poor:
            lost += say
        else:
            ways[band], says[band] = way, say
    if said <= 0:
        return 0.0
    if 2 * lost > said:
        return np.nan
    order, half, run = np.argsort(ways), (said - lost) / 2, 0.0
    for k in order:
        run += says[k]
        if run >= half and says[k] > 0:
            return ways[k]
    return 0.0


@njit(cache=True, nogil=True)
def _strip(before, now, edges):
    """Way, texture and whether it is lost, of one strip."""
    count = before.size - 2
    old, new = edges[0], edges[1]
    contrast = np.int64(0)
    for x in range(count):
        old[x], new[x] = before[x + 2] - before[x], now[x + 2] - now[x]
        contrast += abs(old[x]) + abs(new[x])
    if contrast == 0:
        return 0.0, 0.0, False
    shown = contrast / (2 * count)
    reach = int(count * REACH)
    best, found = np.inf, 0
    for k in range(2 * reach + 1):  # from the middle outwards: of equals, the shorter way
        if k == 2 * NEAR_PX + 1 and best < GOOD * shown:
            break
        step = (k + 1) // 2 if k % 2 else -(k // 2)
        begin, end = max(0, -step), min(count, count - step)
        one, two, total = old[begin:end], new[begin + step : end + step], np.int32(0)
        for x in range(end - begin):
            total += abs(one[x] - two[x])
        cost = total / (end - begin) + FAR * shown * abs(step) / count
        if cost < best:
            best, found = cost, step
    poor = best > POOR * shown
    return found + _finer(old, new, count, found), float(contrast), poor


@njit(cache=True, nogil=True)
def _finer(old, new, count, step):
    """What a way of whole px lacks, by two Gauss-Newton steps."""
    more = 0.0
    begin, end = max(2, 2 - step), min(count - 2, count - 2 - step)
    for _ in range(2):
        if abs(more) > 1:
            break
        floor = int(np.floor(more))
        share = more - floor
        pull = steep = 0.0
        for x in range(begin, end):
            there = x + step + floor
            if there < 0 or there + 1 >= count:
                continue
            gain = (old[x + 1] - old[x - 1]) * 0.5
            pull += gain * (new[there] * (1 - share) + new[there + 1] * share - old[x])
            steep += gain * gain
        if steep <= 0:
            break
        more -= pull / steep
    return min(1.0, max(-1.0, more))
