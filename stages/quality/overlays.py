"""What lies on a picture: structure that stays while the picture moves, or that changes while it stays.

Structure is told by its corners, for an edge that slides along itself seems to rest. An overlay is a patch
of strong, resting structure with moving structure on all sides of it (after the gradients that survive a
mean over time, Dekel et al. 2017, "On the effectiveness of visible watermarks"); or, where the picture
rests, a line of structure that is replaced at once and rested before and after.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

STRONG, PLAIN, WEAK = 5.0, 2.6, 1.8  # luma per px: strength of corners of an overlay, a scene, its grain
RESTS, STAYS, MOVES, CHANGED = 0.3, 0.4, 0.6, 0.6  # unrest below, below, above, above which
EASED, LOOSE = 1.0, 0.25  # off STRONG, onto RESTS, where all of a picture moves through many stills
WINDOW = 5  # px that are averaged
LEAST_LINE = 0.0015  # of the picture
CELLS = 24, 14  # across and down, to count where the picture moves
REACH = 0.05  # of the longer side: how far the surroundings of a patch reach


class Look(NamedTuple):
    """Strength of the corners in stills, luma per px, and their unrest: 0 at rest, 1 unrelated; [h w]."""

    strength: np.ndarray
    unrest: np.ndarray
    count: int  # stills


class Patch(NamedTuple):
    """A connected piece of the picture: its box in px, and the pixels in it that belong to it."""

    x: int
    y: int
    width: int
    height: int
    body: np.ndarray  # bool [height width]
    filled: float  # share of them that has the structure that was looked for

    @property
    def area(self) -> int:
        return int(self.body.sum())

    @property
    def box(self) -> "Patch":
        return self._replace(body=np.ones_like(self.body))

    @property
    def is_line(self) -> bool:
        return self.width > 2.2 * self.height


def gradients(stills: np.ndarray) -> np.ndarray:
    """Slopes of pictures [t h w] to the right and down, luma per px, float32 [t 2 h w]."""
    import cv2

    slopes = np.empty((len(stills), 2, *stills.shape[1:]), np.float32)
    for still, (across, down) in zip(stills, slopes, strict=True):
        soft = cv2.GaussianBlur(still.astype(np.float32), (0, 0), 0.7)
        cv2.Sobel(soft, cv2.CV_32F, 1, 0, dst=across, scale=1 / 8)
        cv2.Sobel(soft, cv2.CV_32F, 0, 1, dst=down, scale=1 / 8)
    return slopes


def look(slopes: np.ndarray) -> Look:
    """How structure holds through stills, from their gradients [t 2 h w].

    Strength is the square root of the smaller eigenvalue of the mean structure tensor (Shi and Tomasi
    1994); unrest that of the share of the gradients' energy that is not in their mean.
    """
    import cv2

    def near(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (WINDOW, WINDOW))

    count, mean = len(slopes), slopes.mean(axis=0)
    xx, yy = (near(np.einsum("thw,thw->hw", slopes[:, k], slopes[:, k]) / count) for k in (0, 1))
    xy = near(np.einsum("thw,thw->hw", slopes[:, 0], slopes[:, 1]) / count)
    energy = np.maximum(xx + yy, 1e-3)
    smaller = energy / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    strength = np.sqrt(np.maximum(smaller, 0))
    if count == 1:
        return Look(strength, np.zeros_like(strength), count)
    lost = np.maximum(energy - near(mean[0] ** 2 + mean[1] ** 2), 0) * (count / (count - 1))
    return Look(strength, np.sqrt(lost / energy), count)


def moved_share(seen: Look) -> float:
    """The share of the picture's cells with structure in which it moves; 0 where hardly any has structure."""
    moves, stays = _cells(seen)
    return float(moves.sum() / max(1, moves.sum() + stays.sum())) if moves.sum() + stays.sum() >= 4 else 0.0


def marks(seen: Look) -> float:
    """The share of the picture under patches that rest while what is around them and all else moves."""
    return sum(patch.area * weight for patch, weight in _resting(seen, 12, 0.75, 0.95)) / seen.strength.size


def lines(seen: Look) -> float:
    """The same, of patches that are lines; a line covers more of the picture's cells."""
    size = seen.strength.size
    found = _resting(seen, 30, 0.6, 0.9)
    return sum(p.area * weight for p, weight in found if p.is_line and p.area > LEAST_LINE * size) / size


def _resting(seen: Look, most: int, none: float, full: float) -> Iterator[tuple[Patch, float]]:
    """Patches that rest, weighed by how surely the picture moves.

    A patch has no weight where the share of the picture's cells that move is `none`, not counting up to
    `most` cells of its own, and full weight where it is `full`. The same holds of its surroundings, for
    not all rests that is beside something moving. Where all moves and many stills say so, chance leaves
    nothing at rest, and fainter and less restful patches count.
    """
    moves, stays = _cells(seen)
    if moves.sum() < 4:
        return
    sure = _ramp(moves.sum() / (moves.sum() + stays.sum()), 0.85, 1.0) * _ramp(seen.count, 4, 10)
    fixed = (seen.strength > STRONG - EASED * sure) & (seen.unrest < RESTS + LOOSE * sure)
    for patch in _patches(fixed, 0.012, 0.012):
        own = _cells_of(patch, fixed.shape) & stays
        rest = stays.sum() - min(own.sum(), most)
        weight = _ramp(moves.sum() / (moves.sum() + rest), none, full)
        yield patch, weight * _ramp(_moved_around(seen, patch), 0.6, 0.9)


def replaced(singles: list[Look], pairs: list[Look], at: int) -> float:
    """The share of the picture under lines that are replaced between the stills `at` and `at` + 1.

    `pairs[k]` is the look at stills k and k + 1. What is replaced rested before and rests after, and what
    is around it does not move.
    """
    strength, unrest, _ = pairs[at]
    old, new = (singles[k].strength > STRONG for k in (at, at + 1))
    changed = (unrest > CHANGED) & (old | new)
    clean = changed & (~old | (pairs[at - 1].unrest < RESTS)) & (~new | (pairs[at + 1].unrest < RESTS))
    area = 0
    for patch in _patches(clean, 0.02, 0.006):
        inside = np.s_[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]
        solid = patch.filled >= 0.5 and patch.area >= 0.5 * patch.width * patch.height
        if not (solid and patch.is_line and patch.area > LEAST_LINE * strength.size):
            continue
        if patch.height > 0.2 * len(strength) or (changed & ~clean)[inside].sum() > 0.2 * patch.area:
            continue
        moved, stayed, ring = around(pairs[at], patch.box, PLAIN)
        if moved <= 0.35 * (moved + stayed) + 0.02 * ring:
            area += patch.area
    return area / strength.size


def _ramp(value: float, none: float, full: float) -> float:
    return min(1.0, max(0.0, float(value - none) / (full - none)))


def _cells(seen: Look) -> tuple[np.ndarray, np.ndarray]:
    """In which cells structure moves, and in which it stays; bool [14 24] each."""
    plain = seen.strength > PLAIN
    moved, stayed = _shares(plain & (seen.unrest > MOVES)), _shares(plain & (seen.unrest < STAYS))
    return (moved > stayed) & (moved > 0.04), (stayed >= moved) & (stayed > 0.04)


def _shares(mask: np.ndarray) -> np.ndarray:
    """The share of each cell that a mask covers; a few lines on the right and at the foot are left out."""
    import cv2

    height, width = mask.shape
    high, wide = height // CELLS[1] * CELLS[1], width // CELLS[0] * CELLS[0]
    whole = mask[: high or height, : wide or width].astype(np.float32)
    return cv2.resize(whole, CELLS, interpolation=cv2.INTER_AREA)


def _cells_of(patch: Patch, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, bool)
    whole[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width] = patch.body
    return _shares(whole) > 0.02


def _patches(mask: np.ndarray, across: float, down: float) -> Iterator[Patch]:
    """The patches of a mask, gaps of those shares of the longer side closed; no specks, no whole scenes."""
    import cv2

    height, width = mask.shape
    gap_x, gap_y = (2 * round(share * max(height, width)) + 1 for share in (across, down))
    padded = np.pad(mask.astype(np.uint8), gap_x)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((gap_y, gap_x), np.uint8))
    closed = np.ascontiguousarray(closed[gap_x:-gap_x, gap_x:-gap_x])
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    for k in range(1, count):
        x, y, wide, high, area = (int(n) for n in boxes[k])
        if area > 0.12 * mask.size:
            continue
        body = labels[y : y + high, x : x + wide] == k
        own = int((mask[y : y + high, x : x + wide] & body).sum())
        if own >= max(8, 0.0004 * mask.size):
            yield Patch(x, y, wide, high, body, own / area)


def _moved_around(seen: Look, patch: Patch) -> float:
    """The share of the structure around a patch that moves; 1 where there is none."""
    moved, stayed, ring = around(seen, patch, WEAK)
    slack = 0.05 * ring
    return (moved + slack) / (moved + stayed + slack) if slack else 1.0


def around(seen: Look, patch: Patch, least: float) -> tuple[int, int, int]:
    """Of the ring around a patch: pixels stronger than `least` that move, those that stay, and all."""
    import cv2

    shape = seen.strength.shape
    reach = max(2 * WINDOW, round(REACH * max(shape)))
    top, left = max(0, patch.y - reach), max(0, patch.x - reach)
    region = np.s_[top : patch.y + patch.height + reach, left : patch.x + patch.width + reach]
    strength, unrest = seen.strength[region], seen.unrest[region]
    body = np.zeros(strength.shape, np.uint8)
    own = body[patch.y - top : patch.y - top + patch.height, patch.x - left : patch.x - left + patch.width]
    own[:] = patch.body
    far, near = (cv2.dilate(body, np.ones((n, n), np.uint8)) for n in (2 * reach + 1, 2 * WINDOW - 1))
    ring = (far > 0) & (near == 0)
    strong = ring & (strength > least)
    return int((strong & (unrest > 0.5)).sum()), int((strong & (unrest < STAYS)).sum()), int(ring.sum())
