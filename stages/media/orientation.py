"""Which way up a coded picture is shown: quarter turns, and whether it is mirrored first."""

from typing import TYPE_CHECKING

import numpy as np

from stages.media.side_data import side_data

if TYPE_CHECKING:
    import av

MIRRORED = 4  # added to the quarter turns of a picture that is mirrored, left for right, before it is turned


def is_mirrored(raw: "av.VideoFrame") -> bool:
    """Whether the display matrix of a frame changes left and right: its determinant is below 0.

    No, where PyAV does not know all that stands beside the picture, as is so of the Exif of a camera's JPEGs.
    """
    try:
        matrix = side_data(raw, "DISPLAYMATRIX")
    except ValueError:
        return False
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return bool(a * d < b * c)


def turns_of(rotation_deg: float, mirrored: bool) -> int:
    """Quarter turns counterclockwise that put the picture upright, 0 … 3; 4 … 7 mirror it first.

    Args:
        rotation_deg: as FFmpeg reads it from the matrix: of a mirrored picture, half a turn too much.
    """
    quarters = round(rotation_deg / 90) if abs(rotation_deg) <= 360 else 0  # else the matrix is none
    return MIRRORED + (quarters + 2) % 4 if mirrored else quarters % 4


def upright(picture: np.ndarray, turns: int) -> np.ndarray:
    """A view of the picture [h w …] as it is shown."""
    return np.rot90(picture[:, ::-1] if turns >= MIRRORED else picture, turns)
