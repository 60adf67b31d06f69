"""Describes a clip by a vector, without weights; encoding, size and mild color shifts hardly change it.

Each image is scaled to 32 x 32 pixels and described in three ways: the lowest frequencies of its luma (a
cosine transform), the edge strength per grid cell and direction (as in GIST: Oliva and Torralba, IJCV 2001),
and the chroma per grid cell. For the first two the luma is normalized to mean 0 and standard deviation 1, so
that brightness and contrast have no influence. The mean is subtracted from the chroma, so that a tint has no
influence. Frequencies enter by their square root, so that the few strongest do not decide, and higher
frequencies with a lower weight, because a crop changes them more. The descriptor of a clip consists of the
means over its first, middle and last third.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

KIND = "descriptor 2"  # raise the number when the same images give another vector
SIDE = 32  # px
FREQUENCIES = 8  # cosine frequencies per axis
GRID = 4  # grid cells per axis
DIRECTIONS = 8  # edge directions over 180 degrees
PARTS = 3  # parts of a clip, in time
_CHROMA_WEIGHT = 0.5
_CHROMA_STD = 0.05  # typical chroma of a grid cell, as a share of full scale
_MEAN_EDGE = 0.07  # mean edge feature of natural images; subtracted, so that unrelated images are near 0
_MIN_STD = 0.02  # luma with a lower standard deviation is noise rather than an image
_HALF_WEIGHT_FREQUENCY = 6  # frequency along an axis that has half the weight

_AXIS, _FREQUENCY = np.arange(SIDE), np.arange(FREQUENCIES)[:, None]
_COSINES = np.cos(np.pi * (2 * _AXIS + 1) * _FREQUENCY / (2 * SIDE)) / (
    1 + _FREQUENCY / _HALF_WEIGHT_FREQUENCY
)  # [frequencies side]
_GRID_CELL = _AXIS * GRID // SIDE


def descriptor_of(thirds: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The descriptor of a clip: float32 [669], of unit length. The dot product of two is their similarity.

    Args:
        thirds: the images of each of the `PARTS` parts of the clip, uint8 RGB [h w 3], at least one each.
    """
    parts = []
    for images in thirds:
        frequencies, edges, chroma = (
            np.mean(feature, axis=0) for feature in zip(*map(_features, images), strict=True)
        )
        parts += [_unit(frequencies), _unit(edges - _MEAN_EDGE), _CHROMA_WEIGHT * _bounded(chroma)]
    return _unit(np.concatenate(parts)).astype(np.float32)


def mirrored(vectors: np.ndarray) -> np.ndarray:
    """The descriptors of the mirror images (left to right) of the clips with these descriptors, [n d]."""
    source, sign = _mirror_map()
    flipped: np.ndarray = vectors[:, source] * sign
    return flipped


@lru_cache(maxsize=1)
def _mirror_map() -> tuple[np.ndarray, np.ndarray]:
    """For each number of a mirrored descriptor its index in the descriptor, int64 [d], and its sign [d].

    A mirror image negates odd horizontal frequencies, reverses the columns of the grid, and turns the edge
    direction a into -a.
    """
    grid, across = np.arange(GRID * GRID).reshape(GRID, GRID)[:, ::-1].reshape(-1, 1), np.arange(DIRECTIONS)
    blocks = [
        np.arange(FREQUENCIES**2 - 1),
        (grid * DIRECTIONS + -across % DIRECTIONS).ravel(),
        (grid * 2 + np.arange(2)).ravel(),
    ]
    starts = np.cumsum([0, *map(len, blocks)])
    source = np.concatenate([start + block for start, block in zip(starts, blocks, strict=False)])
    sign = np.ones(len(source), np.float32)
    sign[: len(blocks[0])] = np.tile((-1.0) ** np.arange(FREQUENCIES), FREQUENCIES)[1:]
    return np.concatenate([part * len(source) + source for part in range(PARTS)]), np.tile(sign, PARTS)


def _features(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies [63], edges [128] and chroma [32] of one image."""
    import cv2

    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    luma = small @ (0.299, 0.587, 0.114)  # BT.601
    chroma = np.stack([(small[..., 2] - luma) * 0.564, (small[..., 0] - luma) * 0.713], axis=-1)
    normalized = (luma - luma.mean()) / (luma.std() + _MIN_STD)
    frequencies = (_COSINES @ normalized @ _COSINES.T).ravel()[1:]
    frequencies = np.sign(frequencies) * np.sqrt(np.abs(frequencies))
    cells = chroma.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID, 2).mean(axis=(1, 3))
    return frequencies, _edges(normalized), (cells - cells.mean(axis=(0, 1))).ravel()


def _edges(luma: np.ndarray) -> np.ndarray:
    """The square root of the share of each grid cell and direction in the total edge strength."""
    down, across = np.gradient(luma)
    strength = np.hypot(across, down)
    angle = np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS
    below = np.floor(angle).astype(int)
    above_share = angle - below
    sums = np.zeros((GRID, GRID, DIRECTIONS))
    for direction, weight in ((below, strength * (1 - above_share)), (below + 1, strength * above_share)):
        np.add.at(sums, (_GRID_CELL[:, None], _GRID_CELL[None], direction % DIRECTIONS), weight)
    shares: np.ndarray = np.sqrt(sums / (sums.sum() + 1e-6))
    return shares.ravel()


def _bounded(chroma: np.ndarray) -> np.ndarray:
    """Chroma scaled so that a typical image has length 1 and a saturated one at most 3."""
    scaled: np.ndarray = np.clip(chroma / _CHROMA_STD, -3, 3) / np.sqrt(len(chroma))
    return scaled


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.zeros_like(vector)
