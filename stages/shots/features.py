"""Features of shot boundaries: per-frame measures over the thumbnails around each frame.

A feature of frame t describes the border between frames t - 1 and t. The features know nothing about the
content of a video: they compare thumbnail cells over several time spans, so that a small network
(`network.py`) can be trained on few clips. Their names are stored in the weights of the network.

Shapes: n frames, h x w luma cells, cells = h w. Every feature is an array [n].
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.shots.motion_tolerance import absolute_difference, difference_beyond_neighbors, match_blocks

CONTEXT_FRAMES = 26  # frames before and after a frame that its features may use
SPANS = (0, 1, 2, 4, 8, 16, 24)  # frames left out between the two compared frames
CHANGE_SIGNALS = ("delta_hue", "delta_sat", "delta_lum", "change_max")

Floats = npt.NDArray[np.floating]
Bytes = npt.NDArray[np.uint8]
Features = Iterator[tuple[str, Floats]]  # names and values [n]


class TimeShifts:
    """Rows over time, padded with copies of the first and the last row.

    `shifts[k]` is an array of the same shape whose row t is row t + k; a view, no copy. |k| is at most
    `CONTEXT_FRAMES`.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = len(rows)
        first, last = rows[:1].repeat(CONTEXT_FRAMES, 0), rows[-1:].repeat(CONTEXT_FRAMES, 0)
        self._padded = np.concatenate([first, rows, last])

    def __getitem__(self, frames: int) -> np.ndarray:
        shifted: np.ndarray = self._padded[CONTEXT_FRAMES + frames : CONTEXT_FRAMES + frames + self._rows]
        return shifted


def compute_features(
    luma: Bytes, chroma: Bytes, change: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Compute all features, float32 [n features], and their names.

    Args:
        luma: Cells of the thumbnails, uint8 [n h w].
        chroma: Cr and Cb, uint8 [n h2 w2 2].
        change: The scan's `CHANGE_SIGNALS`, float32 [n 4].
    """
    cells = luma.reshape(len(luma), -1)
    level = cells.mean(1, dtype=np.float32)
    detail = cells.astype(np.float32) - level[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", detail, detail) / cells.shape[1])
    groups = (
        _content_change(change),
        _brightness_and_contrast(level, spread, chroma),
        _frame_differences(luma, chroma, detail, spread),
        _blend_fit(luma, spread),
        _wipe_front(luma),
        _matched_differences(luma),
        _flash_return(cells),
    )
    named = [(name, values) for group in groups for name, values in group]
    return np.stack([values for _, values in named], 1, dtype=np.float32), [name for name, _ in named]


def _content_change(change: npt.NDArray[np.float32]) -> Features:
    """Content change c at full detail, and its ratio to the 2 window frames around.

    log(1 + c / 2) of each signal. "adaptive": log(1 + s / (mean of s around + 0.5)), with s the mean of the
    first three signals, as in PySceneDetect's adaptive detector. `change` is [n 4].
    """
    for name, values in zip(CHANGE_SIGNALS, change.T, strict=True):
        yield name, _log1p(values, 2)
    score = change[:, :3].mean(1)
    shifts = TimeShifts(score)
    for window in (2, 5):
        around = sum(shifts[k] for k in range(-window, window + 1)) - score
        yield f"adaptive {window}", _log1p(score / (around / (2 * window) + 0.5))


def _brightness_and_contrast(level: Floats, spread: Floats, chroma: Bytes) -> Features:
    """Mean luma (level), its standard deviation (spread), and how both change: a fade has no contrast left.

    "level k" and "spread k" are the differences from k frames before to k frames after, over 32 levels and
    over spread + 8. "spread to highest" and "lowest to highest" use the spread within 24 frames. `level` and
    `spread` are [n], `chroma` is [n h2 w2 2].
    """
    yield "level", level / 255
    yield "spread", _log1p(spread, 4)
    yield "chroma spread", _log1p(chroma.reshape(len(chroma), -1).std(1, dtype=np.float32), 4)
    levels, spreads = TimeShifts(level), TimeShifts(spread)
    for k in (1, 4, 12):
        yield f"level {k}", (levels[k] - levels[-k]) / 32
        yield f"spread {k}", (spreads[k] - spreads[-k]) / (spread + 8)
    near = np.stack([spreads[k] for k in range(-24, 25, 3)])
    yield "spread to highest", spread / (near.max(0) + 4)
    yield "lowest to highest", near.min(0) / (near.max(0) + 4)


def _frame_differences(luma: Bytes, chroma: Bytes, detail: Floats, spread: Floats) -> Features:
    """Differences between frame t - 1 - s and frame t + s, for each span s in `SPANS`.

    "apart": log(1 + mean |a - b| / 2) of luma; "apart over m": share of cells with |a - b| > m. "moved": the
    same with a tolerance of one cell of motion. "unrelated": 1 - correlation of the normalized detail.
    "colour": log(1 + mean |a - b|) of chroma. "tones": twice the mean difference of the luma distribution
    functions. "hues": half the summed difference of the chroma histograms.

    `luma` is [n h w], `chroma` [n h2 w2 2], `detail` (luma minus its mean) [n cells], `spread` [n].
    """
    cells, colors = TimeShifts(luma), TimeShifts(chroma.reshape(len(chroma), -1))
    normalized = detail / (spread * np.sqrt(detail.shape[1]) + 12)[:, None]
    details = TimeShifts(normalized)
    tones, hues = TimeShifts(_luma_distributions(luma)), TimeShifts(_chroma_histograms(chroma))
    for span in SPANS:
        before, after = cells[-1 - span], cells[span]
        difference = absolute_difference(before, after).reshape(len(luma), -1)
        yield f"apart {span}", _log1p(_row_means(difference), 2)
        for threshold in (5, 12, 30, 70):
            yield f"apart over {threshold} {span}", _row_shares(difference > threshold)
        moved = difference_beyond_neighbors(before, after).reshape(len(luma), -1)
        yield f"moved {span}", _log1p(_row_means(moved))
        yield f"moved over {span}", _row_shares(moved > 8)
        yield f"unrelated {span}", 1 - np.einsum("ij,ij->i", details[-1 - span], details[span])
        yield f"colour {span}", _log1p(_row_means(absolute_difference(colors[-1 - span], colors[span])))
        yield f"tones {span}", np.abs(tones[-1 - span] - tones[span]).mean(1) * 2
        yield f"hues {span}", 0.5 * np.abs(hues[-1 - span] - hues[span]).sum(1)


def _blend_fit(luma: Bytes, spread: Floats) -> Features:
    """Fit frames as mixtures of an earlier and a later frame: the sign of a dissolve and of a fade.

    M = A + a (B - A) by least squares, with A and B `reach` frames before and after t, and M in between.
    "blend": a, clipped to -1 … 2. "unblended": RMS of the residual over (RMS of B - A) + 3. "way":
    log(1 + RMS of B - A / 3). "contrast dip": spread over the mean spread of A and B + 4. `luma` is [n h w],
    `spread` [n].
    """
    halved = _downsample(luma)
    shifts, spreads = TimeShifts(halved), TimeShifts(spread)
    for reach in (3, 6, 12, 20):
        first, path = shifts[-reach], shifts[reach] - shifts[-reach]
        length = np.einsum("ij,ij->i", path, path)
        rms = np.sqrt(length / halved.shape[1])
        for place, at in (("early", -reach // 2), ("middle", 0), ("late", reach // 2)):
            part = shifts[at] - first
            a = np.einsum("ij,ij->i", part, path) / (length + 1e-3)
            residual = np.einsum("ij,ij->i", part, part) - a * a * length
            yield f"blend {place} {reach}", np.clip(a, -1, 2)
            unblended = np.sqrt(np.maximum(residual, 0) / halved.shape[1])
            yield f"unblended {place} {reach}", unblended / (rms + 3)
        yield f"way {reach}", _log1p(rms, 3)
        yield f"contrast dip {reach}", spread / (0.5 * (spreads[-reach] + spreads[reach]) + 4)


def _wipe_front(luma: Bytes) -> Features:
    """Where and when cells change, and whether each changes only once: a wipe is a front that travels.

    "changing": share of cells that change by more than 14 from t - 1 to t. "centre" and "extent": weighted
    mean and standard deviation of the change's position, -1 to 1 in x ("across") and y ("down"). "in one
    step": mean over the cells of the largest change within `reach` frames over the sum of all changes + 8.
    `luma` is [n h w].
    """
    cells = luma.reshape(len(luma), -1)
    steps = absolute_difference(cells, TimeShifts(cells)[-1])
    powers = _coordinate_powers(luma.shape[1], luma.shape[2])
    moments = steps.astype(np.float32) @ powers
    total = moments[:, 0] + 1
    yield "changing", _row_shares(steps > 14)
    for axis, name in ((1, "across"), (2, "down")):
        center = moments[:, axis] / total
        yield f"centre {name}", center
        yield f"extent {name}", np.sqrt(np.maximum(moments[:, axis + 2] / total - center**2, 0))
    step_shifts, values = TimeShifts(steps), TimeShifts(cells)
    sums, largest, when = steps.astype(np.uint16), steps.copy(), np.zeros(steps.shape, np.int8)
    for reach in range(1, 23):
        for offset in (-reach, reach):
            step = step_shifts[offset]
            sums += step
            when[step > largest] = offset
            np.maximum(largest, step, out=largest)
        if reach in (6, 12, 22):
            net = absolute_difference(values[reach], values[-reach - 1])
            once = (largest > 14) & (2 * largest.astype(np.uint16) > sums) & (net > largest // 2)
            yield from _front_motion(reach, once.astype(np.float32), when, powers)
            yield f"in one step {reach}", (largest / (sums + np.float32(8))).mean(1)


def _front_motion(
    reach: int, once: npt.NDArray[np.float32], when: npt.NDArray[np.int8], powers: npt.NDArray[np.float32]
) -> Features:
    """Correlation of time and position over the cells that change once within `reach` frames.

    "once": share of these cells. "front across" and "front down": correlation with x and y. "front takes"
    and "front at": standard deviation and mean of their time, over `reach`. `once` (0 or 1) and `when`
    (frames after t) are [n cells], `powers` is [cells 5].
    """
    times = when * once
    weights, sums = once @ powers, times @ powers[:, :3]
    count = weights[:, 0] + 4
    mean = sums[:, 0] / count
    variance = np.maximum(np.einsum("ij,ij->i", times, times) / count - mean**2, 0)
    yield f"once {reach}", once.mean(1)
    for axis, name in ((1, "across"), (2, "down")):
        place = weights[:, axis] / count
        spread = np.maximum(weights[:, axis + 2] / count - place**2, 0)
        covariance = sums[:, axis] / count - mean * place
        yield f"front {name} {reach}", covariance / np.sqrt(spread * variance + 0.1)
    yield f"front takes {reach}", np.sqrt(variance) / reach
    yield f"front at {reach}", mean / reach


def _flash_return(cells: Bytes) -> Features:
    """Difference of frame t - 1 to frames soon after: after a flash they equal it again.

    "back k": log(1 + mean |cells[t - 1] - cells[t + k]| / 2). `cells` is [n cells].
    """
    shifts = TimeShifts(cells)
    for later in (1, 2, 3, 5, 8):
        yield f"back {later}", _log1p(_row_means(absolute_difference(shifts[-1], shifts[later])), 2)


def _matched_differences(luma: Bytes) -> Features:
    """Differences between frames t - 1 - s and t + s after each block moved to where it matches best.

    What moves is found again; what is new is not. "matched": log(1 + mean difference / 2) over the blocks.
    "matched over m": share of the blocks with a difference above m. "matched worst": log(1 + largest
    difference / 4). "matched still": the part of the difference that motion explains. `luma` is [n h w].
    """
    cells = TimeShifts(luma)
    for span in (0, 2, 7):
        moved, still = match_blocks(cells[-1 - span], cells[span])
        mean, unmoved = moved.mean(1), still.mean(1)
        yield f"matched {span}", _log1p(mean, 2)
        for threshold in (4, 10, 25):
            yield f"matched over {threshold} {span}", (moved > threshold).mean(1)
        yield f"matched worst {span}", _log1p(moved.max(1), 4)
        yield f"matched still {span}", (unmoved - mean) / (unmoved + 2)


def _log1p(values: np.ndarray, scale: float = 1) -> npt.NDArray[np.float32]:
    """Return log(1 + values / scale)."""
    result: npt.NDArray[np.float32] = np.log1p(np.asarray(values, np.float32) / np.float32(scale))
    return result


def _row_means(rows: np.ndarray) -> npt.NDArray[np.float32]:
    means: npt.NDArray[np.float32] = rows.mean(1, dtype=np.float32)
    return means


def _row_shares(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the share of true values in each row."""
    shares: npt.NDArray[np.float64] = np.count_nonzero(mask, axis=1) / mask.shape[1]
    return shares


def _luma_distributions(luma: Bytes) -> npt.NDArray[np.float32]:
    """Return each frame's cumulative luma distribution over 32 bins, float32 [n 32]."""
    bins = (np.arange(len(luma)) * 32)[:, None] + (luma.reshape(len(luma), -1) >> 3)
    counts = np.bincount(bins.ravel(), minlength=len(luma) * 32).reshape(-1, 32)
    cumulative: npt.NDArray[np.float32] = np.cumsum(counts.astype(np.float32) / bins.shape[1], 1)
    return cumulative


def _chroma_histograms(chroma: Bytes) -> npt.NDArray[np.float32]:
    """Return each frame's shares of the 8 x 8 bins of Cr and Cb, float32 [n 64]."""
    pairs = np.clip((chroma.reshape(len(chroma), -1, 2).astype(np.int16) - 88) // 10, 0, 7)
    bins = (np.arange(len(chroma)) * 64)[:, None] + pairs[..., 0] * 8 + pairs[..., 1]
    counts = np.bincount(bins.ravel(), minlength=len(chroma) * 64).reshape(-1, 64)
    shares: npt.NDArray[np.float32] = counts.astype(np.float32) / bins.shape[1]
    return shares


def _downsample(luma: Bytes) -> npt.NDArray[np.float32]:
    """Return the means of 2 x 2 cells, float32 [n cells]; a last odd line is left out."""
    height, width = (max(2, side // 2 * 2) for side in luma.shape[1:])
    wide = np.pad(luma, ((0, 0), (0, max(0, 2 - luma.shape[1])), (0, max(0, 2 - luma.shape[2]))), mode="edge")
    four = wide[:, :height, :width].astype(np.float32)
    sums = four[:, ::2, ::2] + four[:, 1::2, ::2] + four[:, ::2, 1::2] + four[:, 1::2, 1::2]
    return sums.reshape(len(luma), -1) / np.float32(4)


def _coordinate_powers(height: int, width: int) -> npt.NDArray[np.float32]:
    """Return 1, x, y, x², y² of every cell, with coordinates from -1 to 1, float32 [cells 5]."""
    x = np.tile(np.linspace(-1, 1, width), height)
    y = np.repeat(np.linspace(-1, 1, height), width)
    return np.stack([np.ones_like(x), x, y, x * x, y * y], 1, dtype=np.float32)
