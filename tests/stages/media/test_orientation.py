"""The eight ways to show a picture; real display matrices are tested with the scan."""

import numpy as np
import pytest

from stages.media.orientation import MIRRORED, turns_of, upright

PICTURE = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("rotation_deg", "mirrored", "shown"),
    [
        (0, False, PICTURE),
        (90, False, np.rot90(PICTURE)),
        (-90, False, np.rot90(PICTURE, 3)),
        (180, False, PICTURE[::-1, ::-1]),
        (-180, True, PICTURE[:, ::-1]),
        (0, True, PICTURE[::-1]),
        (-(1 << 31), False, PICTURE),
    ],
)
def test_a_picture_is_mirrored_and_turned(rotation_deg: int, mirrored: bool, shown: np.ndarray) -> None:
    turns = turns_of(rotation_deg, mirrored)
    assert (turns >= MIRRORED) is mirrored
    assert upright(PICTURE, turns).tolist() == shown.tolist()
