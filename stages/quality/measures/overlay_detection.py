"""Detects overlays: structure that stays while the image moves, or that changes while the image stays.

Structure is measured by corners, because an edge that slides along itself seems to rest. An overlay is a
patch of strong, static structure with moving structure on all sides (similar to gradients that survive a
mean over time, Dekel et al. 2017, "On the effectiveness of visible watermarks"). Around a logo, no edge is
static. Around the strong corners of a subject that stays in place before a moving background, the edges of
the subject are. In a static image, an overlay is a line of structure that is replaced between two stills and
rests before and after.
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
EDGE = 0.8  # of a static edge: its gradient in levels per px, and the share of it that stays
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


def static_edges(gradients: npt.NDArray[np.float32]) -> Mask:
    """Return the pixels of edges that stay in all stills, from their gradients [t 2 h w]."""
    mean = np.linalg.norm(gradients.mean(axis=0), axis=0)
    energy = np.einsum("tchw,tchw->hw", gradients, gradients) / len(gradients)
    return np.asarray(mean > EDGE * np.sqrt(1 + energy))


def logo_share(structure: Structure, edges: Mask) -> float:
    """Return the share of the image under patches that rest while their surroundings and the rest move.

    In a corner, where channels put their marks, a dense small patch counts even if less of the image moves.
    Elsewhere, it counts less if it is large, if static `edges` surround it, like a part of a subject, or if
    it has gaps, like what stays at the center of a zoom.
    """
    area, (height, width) = 0.0, edges.shape
    for patch, moving, around in _static_patches(structure, 12):
        across, down = (patch.x + patch.width / 2) / width, (patch.y + patch.height / 2) / height
        is_corner = min(abs(across - 0.5), abs(down - 0.5)) > 0.25
        is_small = 1 - _ramp(patch.area / edges.size, 0.03, 0.05)
        ease = _ramp(patch.density, 0.85, 0.95) * is_corner * is_small
        weight = _ramp(moving, 0.75 - 0.45 * ease, 0.95 - 0.45 * ease)
        weight *= _ramp(around, 0.6 - 0.2 * ease, 0.9 - 0.2 * ease)
        region, ring = _surrounding_ring(patch, edges.shape)
        alone = 1 - _ramp(edges[region][ring].mean() if ring.any() else 0.0, 0.1, 0.25)
        if not (is_corner or patch.is_line):
            alone *= (1 - _ramp(patch.area / edges.size, 0.012, 0.025)) * _ramp(patch.density, 0.65, 0.85)
        area += patch.area * weight * max(alone, _ramp(patch.density, 0.8, 0.92) * is_corner * is_small)
    return area / edges.size


def static_line_share(structure: Structure) -> float:
    """Return the same share for patches that are lines. A line may cover more grid cells than a logo."""
    size = structure.strength.size
    return sum(
        patch.area * _ramp(moving, 0.6, 0.9) * _ramp(around, 0.6, 0.9) / size
        for patch, moving, around in _static_patches(structure, 30)
        if patch.is_line and patch.area > MIN_LINE_AREA * size
    )


def _static_patches(structure: Structure, max_own_cells: int) -> Iterator[tuple[Patch, float, float]]:
    """Find patches that rest, each with the moving share of the grid cells and of its surroundings.

    Up to `max_own_cells` cells of the patch itself do not count. The surroundings matter because some objects
    rest beside a moving one. If everything moves in many stills, nothing rests by chance, so fainter and less
    stable patches count as well.
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
        yield patch, moving.sum() / (moving.sum() + others), _moving_around(structure, patch)


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
    region, ring = _surrounding_ring(patch, structure.strength.shape)
    instability = structure.instability[region]
    strong = ring & (structure.strength[region] > min_strength)
    return Surroundings(
        moving=int((strong & (instability > 0.5)).sum()),
        static=int((strong & (instability < MAX_STATIC)).sum()),
        total=int(ring.sum()),
    )


def _surrounding_ring(patch: Patch, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Mask]:
    """Return the region of the image around a patch, and the pixels of this region in the ring around it."""
    import cv2

    reach = max(2 * WINDOW, round(REACH * max(shape)))
    top, left = max(0, patch.y - reach), max(0, patch.x - reach)
    region = np.s_[top : patch.y + patch.height + reach, left : patch.x + patch.width + reach]
    body = np.zeros(shape, np.uint8)[region]
    own = body[patch.y - top : patch.y - top + patch.height, patch.x - left : patch.x - left + patch.width]
    own[:] = patch.body
    far, near = (cv2.dilate(body, np.ones((n, n), np.uint8)) for n in (2 * reach + 1, 2 * WINDOW - 1))
    return region, (far > 0) & (near == 0)
