"""The orientation of a coded frame: quarter turns, and whether it is mirrored first."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av

T = TypeVar("T", bound=np.generic)

MIRRORED = 4  # added to the quarter turns of a frame that is mirrored left to right before it is turned


def is_mirrored(raw: "av.VideoFrame") -> bool:
    """Return whether the display matrix of a frame swaps left and right: its determinant is below 0.

    False if PyAV does not know all side data of the frame, for example the Exif data in JPEGs of cameras.
    """
    try:
        matrix = get_side_data(raw, "DISPLAYMATRIX")
    except ValueError:
        return False
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return bool(a * d < b * c)


def orientation_of(rotation_deg: float, mirrored: bool) -> int:
    """Return the orientation of a frame: counterclockwise quarter turns, plus 4 if it is mirrored first.

    Args:
        rotation_deg: Rotation that FFmpeg reads from the display matrix; half a turn too large for a mirrored
            frame.
        mirrored: Whether the frame is mirrored.
    """
    quarters = round(rotation_deg / 90) if abs(rotation_deg) <= 360 else 0  # otherwise the matrix is invalid
    return MIRRORED + (quarters + 2) % 4 if mirrored else quarters % 4


def rotate_upright(image: npt.NDArray[T], orientation: int) -> npt.NDArray[T]:
    """Return a view of the image [h w …] as it is displayed."""
    return np.rot90(image[:, ::-1] if orientation >= MIRRORED else image, orientation)
