"""Detects overlays: structure that stays while the image moves, or that changes while the image stays.

Structure is measured by corners, because an edge that slides along itself seems to rest. An overlay is a
patch of strong, static structure with moving structure on all sides (similar to gradients that survive a
mean over time, Dekel et al. 2017, "On the effectiveness of visible watermarks"). In a static image, an
overlay is a line of structure that is replaced between two stills and rests before and after.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Corner strengths, in luma levels per px: of an overlay, of a scene, of its grain.
STRONG, MEDIUM, WEAK = 5.0, 2.6, 1.8
# Instability of structure: at most this in an overlay; below this static; above this moving; above this
# replaced.
MAX_OVERLAY, MAX_STATIC, MIN_MOVING, MIN_REPLACED = 0.3, 0.4, 0.6, 0.6
# How far these two limits relax where all of an image moves through many stills: off STRONG, onto
# MAX_OVERLAY.
STRENGTH_SLACK, INSTABILITY_SLACK = 1.0, 0.25
WINDOW = 5  # px over which gradients are averaged
MIN_LINE_AREA = 0.0015  # of a line, as a share of the image
GRID = 24, 14  # cells across and down, in which motion is counted
REACH = 0.05  # width of the surroundings of a patch, as a share of the longer side

Mask = npt.NDArray[np.bool_]  # [h w]
Map = npt.NDArray[np.float32]  # [h w]


class Structure(NamedTuple):
    """Corner structure over one or more stills.

    Attributes:
        strength: Strength of the corners, in luma levels per px, [h w].
        instability: 0 where structure rests, 1 where the stills are unrelated, [h w].
        stills: Number of stills.
    """

    strength: Map
    instability: Map
    stills: int


class Patch(NamedTuple):
    """A connected area of the image: its bounding box in px, and the pixels in it.

    Attributes:
        body: Pixels of the box that belong to the patch, bool [height width].
        density: Share of these pixels that have the structure searched for.
    """

    x: int
    y: int
    width: int
    height: int
    body: Mask
    density: float

    @property
    def area(self) -> int:
        return int(self.body.sum())

    @property
    def filled_box(self) -> "Patch":
        return self._replace(body=np.ones_like(self.body))

    @property
    def is_line(self) -> bool:
        return self.width > 2.2 * self.height


class Surroundings(NamedTuple):
    """Pixels of the ring around a patch: with moving structure, with static structure, and all."""

    moving: int
    static: int
    total: int


def gradients(stills: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return gradients float32 [t 2 h w], right and down, in levels per px, of luma stills [t h w]."""
    import cv2

    result = np.empty((len(stills), 2, *stills.shape[1:]), np.float32)
    for still, (right, down) in zip(stills, result, strict=True):
        smooth = cv2.GaussianBlur(still.astype(np.float32), (0, 0), 0.7)
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, dst=right, scale=1 / 8)
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, dst=down, scale=1 / 8)
    return result


def measure_structure(gradients: npt.NDArray[np.float32]) -> Structure:
    """Measure strength and instability of structure over stills, from their gradients [t 2 h w].

    Strength is the square root of the smaller eigenvalue of the mean structure tensor (Shi and Tomasi 1994).
    Instability is the square root of the share of the gradients' energy that is not in their mean.
    """
    import cv2

    def average(values: Map) -> Map:
        return np.asarray(cv2.blur(values, (WINDOW, WINDOW)), np.float32)

    count, mean = len(gradients), gradients.mean(axis=0)
    xx, yy = (average(np.einsum("thw,thw->hw", gradients[:, k], gradients[:, k]) / count) for k in (0, 1))
    xy = average(np.einsum("thw,thw->hw", gradients[:, 0], gradients[:, 1]) / count)
    energy = np.maximum(xx + yy, 1e-3)
    eigenvalue = energy / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    strength = np.sqrt(np.maximum(eigenvalue, 0))
    if count == 1:
        return Structure(strength, np.zeros_like(strength), count)
    lost = np.maximum(energy - average(mean[0] ** 2 + mean[1] ** 2), 0) * (count / (count - 1))
    return Structure(strength, np.sqrt(lost / energy), count)


def moving_share(structure: Structure) -> float:
    """Return the share of grid cells with structure that move; 0 if fewer than 4 cells have structure."""
    moving, static = _classify_cells(structure)
    count = moving.sum() + static.sum()
    return float(moving.sum() / max(1, count)) if count >= 4 else 0.0


def logo_share(structure: Structure) -> float:
    """Return the share of the image under patches that rest while their surroundings and the rest move."""
    patches = _static_patches(structure, 12, 0.75, 0.95)
    return sum(patch.area * weight for patch, weight in patches) / structure.strength.size


def static_line_share(structure: Structure) -> float:
    """Return the same share for patches that are lines. A line may cover more grid cells than a logo."""
    size = structure.strength.size
    patches = _static_patches(structure, 30, 0.6, 0.9)
    lines = ((p, w) for p, w in patches if p.is_line and p.area > MIN_LINE_AREA * size)
    return sum(patch.area * weight for patch, weight in lines) / size


def _static_patches(
    structure: Structure, max_own_cells: int, zero: float, full: float
) -> Iterator[tuple[Patch, float]]:
    """Find patches that rest, each with a weight that says how surely the image moves.

    The weight grows from 0 to 1 while the moving share of the grid cells grows from `zero` to `full`. Up to
    `max_own_cells` cells of the patch itself do not count. The surroundings have the same kind of weight,
    because some objects rest beside a moving one. If everything moves in many stills, nothing rests by
    chance, so fainter and less stable patches count as well.
    """
    moving, static = _classify_cells(structure)
    if moving.sum() < 4:
        return
    certainty = _ramp(moving.sum() / (moving.sum() + static.sum()), 0.85, 1.0) * _ramp(
        structure.stills, 4, 10
    )
    is_strong = structure.strength > STRONG - STRENGTH_SLACK * certainty
    is_stable = structure.instability < MAX_OVERLAY + INSTABILITY_SLACK * certainty
    fixed = is_strong & is_stable
    for patch in _patches(fixed, 0.012, 0.012):
        own = _cells_of(patch, fixed.shape) & static
        others = static.sum() - min(own.sum(), max_own_cells)
        weight = _ramp(moving.sum() / (moving.sum() + others), zero, full)
        yield patch, weight * _ramp(_moving_around(structure, patch), 0.6, 0.9)


def replaced_line_share(singles: list[Structure], pairs: list[Structure], at: int) -> float:
    """Return the share of the image under lines that are replaced between the stills `at` and `at` + 1.

    Such a line rested before and rests after, and its surroundings do not move.

    Args:
        singles: Structure of each still.
        pairs: `pairs[k]` is the structure over the stills k and k + 1.
    """
    strength, instability, _ = pairs[at]
    old, new = (singles[k].strength > STRONG for k in (at, at + 1))
    changed = (instability > MIN_REPLACED) & (old | new)
    rested = ~old | (pairs[at - 1].instability < MAX_OVERLAY)
    rests = ~new | (pairs[at + 1].instability < MAX_OVERLAY)
    clean = changed & rested & rests
    area = 0
    for patch in _patches(clean, 0.02, 0.006):
        inside = np.s_[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]
        is_solid = patch.density >= 0.5 and patch.area >= 0.5 * patch.width * patch.height
        if not (is_solid and patch.is_line and patch.area > MIN_LINE_AREA * strength.size):
            continue
        if patch.height > 0.2 * len(strength) or (changed & ~clean)[inside].sum() > 0.2 * patch.area:
            continue
        ring = count_surroundings(pairs[at], patch.filled_box, MEDIUM)
        if ring.moving <= 0.35 * (ring.moving + ring.static) + 0.02 * ring.total:
            area += patch.area
    return area / strength.size


def _ramp(value: float, zero: float, full: float) -> float:
    return min(1.0, max(0.0, float(value - zero) / (full - zero)))


def _classify_cells(structure: Structure) -> tuple[Mask, Mask]:
    """Return the grid cells in which structure moves, and those in which it rests; bool [14 24] each."""
    used = structure.strength > MEDIUM
    moving = _cover(used & (structure.instability > MIN_MOVING))
    static = _cover(used & (structure.instability < MAX_STATIC))
    return (moving > static) & (moving > 0.04), (static >= moving) & (static > 0.04)


def _cover(mask: Mask) -> Map:
    """Return the share of each grid cell that a mask covers, without some lines at the right and bottom."""
    import cv2

    height, width = mask.shape
    whole_height, whole_width = height // GRID[1] * GRID[1], width // GRID[0] * GRID[0]
    whole = mask[: whole_height or height, : whole_width or width].astype(np.float32)
    return np.asarray(cv2.resize(whole, GRID, interpolation=cv2.INTER_AREA), np.float32)


def _cells_of(patch: Patch, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width] = patch.body
    return _cover(mask) > 0.02


def _patches(mask: Mask, gap_across: float, gap_down: float) -> Iterator[Patch]:
    """Find the connected patches of a mask, without specks and areas above 12 % of the image.

    Args:
        gap_across, gap_down: Gaps of at most this size are closed, as shares of the longer side.
    """
    import cv2

    height, width = mask.shape
    gap_x, gap_y = (2 * round(share * max(height, width)) + 1 for share in (gap_across, gap_down))
    padded = np.pad(mask.astype(np.uint8), gap_x)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((gap_y, gap_x), np.uint8))
    closed = np.ascontiguousarray(closed[gap_x:-gap_x, gap_x:-gap_x])
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    for k in range(1, count):
        x, y, w, h, area = (int(n) for n in stats[k])
        if area > 0.12 * mask.size:
            continue
        body = labels[y : y + h, x : x + w] == k
        masked = int((mask[y : y + h, x : x + w] & body).sum())
        if masked >= max(8, 0.0004 * mask.size):
            yield Patch(x, y, w, h, body, masked / area)


def _moving_around(structure: Structure, patch: Patch) -> float:
    """Return the share of the structure around a patch that moves; 1 if there is none."""
    ring = count_surroundings(structure, patch, WEAK)
    slack = 0.05 * ring.total
    return (ring.moving + slack) / (ring.moving + ring.static + slack) if slack else 1.0


def count_surroundings(structure: Structure, patch: Patch, min_strength: float) -> Surroundings:
    """Count the pixels in the ring around a patch; structure is stronger than `min_strength`."""
    import cv2

    shape = structure.strength.shape
    reach = max(2 * WINDOW, round(REACH * max(shape)))
    top, left = max(0, patch.y - reach), max(0, patch.x - reach)
    region = np.s_[top : patch.y + patch.height + reach, left : patch.x + patch.width + reach]
    strength, instability = structure.strength[region], structure.instability[region]
    body = np.zeros(strength.shape, np.uint8)
    own = body[patch.y - top : patch.y - top + patch.height, patch.x - left : patch.x - left + patch.width]
    own[:] = patch.body
    far, near = (cv2.dilate(body, np.ones((n, n), np.uint8)) for n in (2 * reach + 1, 2 * WINDOW - 1))
    ring = (far > 0) & (near == 0)
    strong = ring & (strength > min_strength)
    return Surroundings(
        moving=int((strong & (instability > 0.5)).sum()),
        static=int((strong & (instability < MAX_STATIC)).sum()),
        total=int(ring.sum()),
    )
