"""A descriptor without weights: a vector that stays put under re-encoding, resizing and mild colour shifts.

A picture is squeezed to 32 x 32 pixels and told in three ways: the lowest frequencies of its luminance (a
cosine transform), the strength of its edges per place and direction (in the spirit of GIST: Oliva and
Torralba, IJCV 2001), and its chroma per place. The first two are taken after the luminance has been brought
to mean 0 and spread 1, so that brightness and contrast play no part, and chroma less its mean, so that no
tint does. Of frequencies the square root counts, lest the strongest few decide, and the higher less, as a
crop moves them more. A clip is told by the means of its first, middle and last third.
"""

from collections.abc import Sequence

import numpy as np

KIND = "descriptor 2"  # count it up when the same pictures come to give another vector
SIDE = 32
WAVES = 8  # cosine frequencies per axis
GRID = 4  # places per axis
TURNS = 8  # directions of an edge, over half a turn
PARTS = 3  # of a clip, one after the other
_COLOUR_WEIGHT = 0.5
_CHROMA_SPREAD = 0.05  # typical chroma of a place, as a share of full scale
_USUAL_EDGE = 0.07  # mean of the edge features over natural pictures; without it unlike ones come near 0
_FLAT = 0.02  # a spread of luminance below this is noise rather than a picture

_HALVED = 6  # the frequency along an axis that counts half

_AXIS, _FREQUENCY = np.arange(SIDE), np.arange(WAVES)[:, None]
_COSINES = np.cos(np.pi * (2 * _AXIS + 1) * _FREQUENCY / (2 * SIDE)) / (
    1 + _FREQUENCY / _HALVED
)  # [waves side]
_CELL = _AXIS * GRID // SIDE


def descriptor_of(thirds: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The descriptor of a clip: float32 [669], of unit length; the dot product of two is their similarity.

    Args:
        thirds: for each of the `PARTS` parts of the clip its pictures, uint8 RGB [h w 3], at least one.
    """
    parts = []
    for pictures in thirds:
        waves, edges, colours = (np.mean(told, axis=0) for told in zip(*map(_told, pictures), strict=True))
        parts += [_unit(waves), _unit(edges - _USUAL_EDGE), _COLOUR_WEIGHT * _bounded(colours)]
    return _unit(np.concatenate(parts)).astype(np.float32)


def _told(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies [63], edges [128] and chroma [32] of one picture."""
    import cv2

    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    light = small @ (0.299, 0.587, 0.114)  # BT.601
    chroma = np.stack([(small[..., 2] - light) * 0.564, (small[..., 0] - light) * 0.713], axis=-1)
    even = (light - light.mean()) / (light.std() + _FLAT)
    waves = (_COSINES @ even @ _COSINES.T).ravel()[1:]
    waves = np.sign(waves) * np.sqrt(np.abs(waves))
    places = chroma.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID, 2).mean(axis=(1, 3))
    return waves, _edges(even), (places - places.mean(axis=(0, 1))).ravel()


def _edges(light: np.ndarray) -> np.ndarray:
    """The square root of each place's and direction's share of all edge strength."""
    down, across = np.gradient(light)
    strength = np.hypot(across, down)
    turn = np.arctan2(down, across) % np.pi / np.pi * TURNS
    below = np.floor(turn).astype(int)
    above_share = turn - below
    found = np.zeros((GRID, GRID, TURNS))
    for direction, weight in ((below, strength * (1 - above_share)), (below + 1, strength * above_share)):
        np.add.at(found, (_CELL[:, None], _CELL[None], direction % TURNS), weight)
    shares: np.ndarray = np.sqrt(found / (found.sum() + 1e-6))
    return shares.ravel()


def _bounded(colours: np.ndarray) -> np.ndarray:
    """Chroma such that a typical picture has length 1 and a glaring one at most 3."""
    return np.clip(colours / _CHROMA_SPREAD, -3, 3) / np.sqrt(len(colours))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.zeros_like(vector)
