"""What speaks for a boundary at each frame: measures over the thumbs around it, all on one footing.

A measure at frame t looks at the border between frames t - 1 and t. Nothing here knows what a
picture shows: cells are compared over several spans of time, so that the same numbers come from any
footage, and a small network (`network.py`) can be taught from few clips what they mean.
"""

from collections.abc import Iterator

import numpy as np

REACH = 26  # frames on either side that a measure may look at
SPANS = (0, 1, 2, 4, 8, 16, 24)  # frames left out between the two that are compared
COMPONENTS = ("delta_hue", "delta_sat", "delta_lum", "change_max")

Named = Iterator[tuple[str, np.ndarray]]


class Over:
    """Rows over time, their ends repeated: `over[k]` is every row k frames later, without a copy."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = len(rows)
        self._padded = np.concatenate([rows[:1].repeat(REACH, 0), rows, rows[-1:].repeat(REACH, 0)])

    def __getitem__(self, later: int) -> np.ndarray:
        shifted: np.ndarray = self._padded[REACH + later : REACH + later + self._rows]
        return shifted


def evidence(luma: np.ndarray, chroma: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The measures, float32 [n measures], and their names.

    Args:
        luma: cells of the thumbs, uint8 [n h w].
        chroma: Cr and Cb, uint8 [n h2 w2 2].
        change: the scan's `COMPONENTS`, float32 [n 4].
    """
    cells = luma.reshape(len(luma), -1)
    level = cells.mean(1, dtype=np.float32)
    detail = cells.astype(np.float32) - level[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", detail, detail) / cells.shape[1])
    parts = (
        _steps(change),
        _tone(level, spread, chroma),
        _across(luma, chroma, detail, spread),
        _blends(luma, spread),
        _fronts(luma),
        _returns(cells),
    )
    named = [(name, values) for part in parts for name, values in part]
    return np.stack([values for _, values in named], 1, dtype=np.float32), [name for name, _ in named]


def _steps(change: np.ndarray) -> Named:
    """Content change at full detail, and how far it stands out from the frames around."""
    for name, values in zip(COMPONENTS, change.T, strict=True):
        yield name, _log(values, 2)
    score = change[:, :3].mean(1)
    over = Over(score)
    for window in (2, 5):
        around = sum(over[k] for k in range(-window, window + 1)) - score
        yield f"adaptive {window}", _log(score / (around / (2 * window) + 0.5))


def _tone(level: np.ndarray, spread: np.ndarray, chroma: np.ndarray) -> Named:
    """Brightness and contrast, and where they are going: a fade takes the contrast to nothing."""
    yield "level", level / 255
    yield "spread", _log(spread, 4)
    yield "chroma spread", _log(chroma.reshape(len(chroma), -1).std(1, dtype=np.float32), 4)
    levels, spreads = Over(level), Over(spread)
    for k in (1, 4, 12):
        yield f"level {k}", (levels[k] - levels[-k]) / 32
        yield f"spread {k}", (spreads[k] - spreads[-k]) / (spread + 8)
    near = np.stack([spreads[k] for k in range(-24, 25, 3)])
    yield "spread to highest", spread / (near.max(0) + 4)
    yield "lowest to highest", near.min(0) / (near.max(0) + 4)


def _across(luma: np.ndarray, chroma: np.ndarray, detail: np.ndarray, spread: np.ndarray) -> Named:
    """How unlike the frames on both sides are, at several distances in time."""
    cells, colours = Over(luma), Over(chroma.reshape(len(chroma), -1))
    norm = detail / (spread * np.sqrt(detail.shape[1]) + 12)[:, None]
    details, tones, hues = Over(norm), Over(_tones(luma)), Over(_hues(chroma))
    for span in SPANS:
        before, after = cells[-1 - span], cells[span]
        apart = _apart(before, after).reshape(len(luma), -1)
        yield f"apart {span}", _log(_mean(apart), 2)
        for least in (5, 12, 30, 70):
            yield f"apart over {least} {span}", _share(apart > least)
        moved = _tolerant(before, after).reshape(len(luma), -1)
        yield f"moved {span}", _log(_mean(moved))
        yield f"moved over {span}", _share(moved > 8)
        yield f"unrelated {span}", 1 - np.einsum("ij,ij->i", details[-1 - span], details[span])
        yield f"colour {span}", _log(_mean(_apart(colours[-1 - span], colours[span])))
        yield f"tones {span}", np.abs(tones[-1 - span] - tones[span]).mean(1) * 2
        yield f"hues {span}", 0.5 * np.abs(hues[-1 - span] - hues[span]).sum(1)


def _blends(luma: np.ndarray, spread: np.ndarray) -> Named:
    """How well frames are mixtures of one before and one after: the mark of a dissolve and of a fade.

    M = A + a (B - A) by least squares: `a`, and what is left of M, relative to B - A.
    """
    halved = _halved(luma)
    over, spreads = Over(halved), Over(spread)
    for reach in (3, 6, 12, 20):
        first, way = over[-reach], over[reach] - over[-reach]
        length = np.einsum("ij,ij->i", way, way)
        rms = np.sqrt(length / halved.shape[1])
        for place, at in (("early", -reach // 2), ("middle", 0), ("late", reach // 2)):
            gone = over[at] - first
            a = np.einsum("ij,ij->i", gone, way) / (length + 1e-3)
            left = np.einsum("ij,ij->i", gone, gone) - a * a * length
            yield f"blend {place} {reach}", np.clip(a, -1, 2)
            yield f"unblended {place} {reach}", np.sqrt(np.maximum(left, 0) / halved.shape[1]) / (rms + 3)
        yield f"way {reach}", _log(rms, 3)
        yield f"contrast dip {reach}", spread / (0.5 * (spreads[-reach] + spreads[reach]) + 4)


def _fronts(luma: np.ndarray) -> Named:
    """Where and when cells change, and whether each does so once: a wipe is a front that travels."""
    cells = luma.reshape(len(luma), -1)
    steps = _apart(cells, Over(cells)[-1])
    powers = _powers(*luma.shape[1:])
    moments = steps.astype(np.float32) @ powers
    total = moments[:, 0] + 1
    yield "changing", _share(steps > 14)
    for axis, name in ((1, "across"), (2, "down")):
        centre = moments[:, axis] / total
        yield f"centre {name}", centre
        yield f"extent {name}", np.sqrt(np.maximum(moments[:, axis + 2] / total - centre**2, 0))
    over, values = Over(steps), Over(cells)
    whole, largest, when = steps.astype(np.uint16), steps.copy(), np.zeros(steps.shape, np.int8)
    for reach in range(1, 23):
        for later in (-reach, reach):
            step = over[later]
            whole += step
            when[step > largest] = later
            np.maximum(largest, step, out=largest)
        if reach in (6, 12, 22):
            net = _apart(values[reach], values[-reach - 1])
            once = (largest > 14) & (2 * largest.astype(np.uint16) > whole) & (net > largest // 2)
            yield from _front(reach, once.astype(np.float32), when, powers)
            yield f"in one step {reach}", (largest / (whole + np.float32(8))).mean(1)


def _front(reach: int, once: np.ndarray, when: np.ndarray, powers: np.ndarray) -> Named:
    """The cells that changed once, and how the time of their change goes with their place."""
    timed = when * once
    weights, sums = once @ powers, timed @ powers[:, :3]
    count = weights[:, 0] + 4
    mean = sums[:, 0] / count
    varied = np.maximum(np.einsum("ij,ij->i", timed, timed) / count - mean**2, 0)
    yield f"once {reach}", once.mean(1)
    for axis, name in ((1, "across"), (2, "down")):
        place = weights[:, axis] / count
        spread = np.maximum(weights[:, axis + 2] / count - place**2, 0)
        yield f"front {name} {reach}", (sums[:, axis] / count - mean * place) / np.sqrt(spread * varied + 0.1)
    yield f"front takes {reach}", np.sqrt(varied) / reach
    yield f"front at {reach}", mean / reach


def _returns(cells: np.ndarray) -> Named:
    """How unlike the frame before the ones soon after are: after a flash they are like it again."""
    over = Over(cells)
    for later in (1, 2, 3, 5, 8):
        yield f"back {later}", _log(_mean(_apart(over[-1], over[later])), 2)


def _log(values: np.ndarray, scale: float = 1) -> np.ndarray:
    return np.log1p(np.asarray(values, np.float32) / np.float32(scale))


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.maximum(one, other) - np.minimum(one, other)


def _mean(rows: np.ndarray) -> np.ndarray:
    made: np.ndarray = rows.mean(1, dtype=np.float32)
    return made


def _share(true: np.ndarray) -> np.ndarray:
    return np.count_nonzero(true, axis=1) / true.shape[1]


def _tolerant(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how much cells of the one lie outside what the other shows within one cell, uint8 [n h w]."""
    high, low = other.copy(), other.copy()
    for axis in (1, 2):
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        a, b = tuple(here), tuple(there)
        was_high, was_low = high.copy(), low.copy()
        for to, of in ((a, b), (b, a)):
            np.maximum(high[to], was_high[of], out=high[to])
            np.minimum(low[to], was_low[of], out=low[to])
    return np.maximum(np.maximum(one, high) - high, low - np.minimum(one, low))


def _tones(luma: np.ndarray) -> np.ndarray:
    """Each frame's distribution of luma, cumulated over 32 bins, float32 [n 32]."""
    bins = (np.arange(len(luma)) * 32)[:, None] + (luma.reshape(len(luma), -1) >> 3)
    counts = np.bincount(bins.ravel(), minlength=len(luma) * 32).reshape(-1, 32)
    return np.cumsum(counts.astype(np.float32) / bins.shape[1], 1)


def _hues(chroma: np.ndarray) -> np.ndarray:
    """Each frame's shares of the 8 x 8 bins of Cr and Cb, float32 [n 64]."""
    pairs = np.clip((chroma.reshape(len(chroma), -1, 2).astype(np.int16) - 88) // 10, 0, 7)
    bins = (np.arange(len(chroma)) * 64)[:, None] + pairs[..., 0] * 8 + pairs[..., 1]
    counts = np.bincount(bins.ravel(), minlength=len(chroma) * 64).reshape(-1, 64)
    return counts.astype(np.float32) / bins.shape[1]


def _halved(luma: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 cells, float32 [n cells]; a last odd line is left out."""
    height, width = (max(2, side // 2 * 2) for side in luma.shape[1:])
    wide = np.pad(luma, ((0, 0), (0, max(0, 2 - luma.shape[1])), (0, max(0, 2 - luma.shape[2]))), mode="edge")
    four = wide[:, :height, :width].astype(np.float32)
    summed = four[:, ::2, ::2] + four[:, 1::2, ::2] + four[:, ::2, 1::2] + four[:, 1::2, 1::2]
    return summed.reshape(len(luma), -1) / 4


def _powers(height: int, width: int) -> np.ndarray:
    """1, x, y, x², y² of every cell, with places from -1 to 1, float32 [cells 5]."""
    x = np.tile(np.linspace(-1, 1, width), height)
    y = np.repeat(np.linspace(-1, 1, height), width)
    return np.stack([np.ones_like(x), x, y, x * x, y * y], 1, dtype=np.float32)
