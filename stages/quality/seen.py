"""What a clip looks like to an image tower: the vectors of a few stills of its strip."""

from typing import TYPE_CHECKING

import numpy as np

from manifests import Artifact, Row
from pipeline import Reject
from stages.media.strip import pixels_of, read_strip

if TYPE_CHECKING:
    from stages.models.open_clip import Towers

DIGITS = 4  # of a score: the last digits of a network differ from machine to machine


class Clip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


def vectors_of(row: Clip, towers: "Towers", most: int) -> np.ndarray:
    """Unit vectors [n d] of up to `most` stills, evenly spread.

    Raises:
        Reject: no still lies in the clip.
    """
    stills = read_strip(row, row.start_s, row.end_s, most)
    if not stills:
        raise Reject("too short to be looked at: no still lies in the clip")
    return towers.images([pixels_of(still) for still in stills])


def rounded(value: float) -> float:
    return round(float(value), DIGITS)
