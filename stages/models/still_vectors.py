"""Image vectors of a clip: a few stills of its strip, embedded by an open_clip model."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests import Artifact
from pipeline import Reject
from stages.media.strip import CroppedStills, decode_still, read_strip

if TYPE_CHECKING:
    from stages.models.open_clip import OpenClipModel

DIGITS = 4  # decimals of a score; further digits of a network's output differ between machines


class Clip(CroppedStills):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


def embed_stills(row: Clip, model: "OpenClipModel", max_stills: int) -> npt.NDArray[np.float32]:
    """Return unit vectors [n d] of up to `max_stills` stills, evenly spread over the clip.

    Raises:
        Reject: the clip has no still.
    """
    stills = read_strip(row, row.start_s, row.end_s, max_stills)
    if not stills:
        raise Reject("too short to embed: the clip has no still")
    return model.embed_images([decode_still(still) for still in stills])


def round_score(score: float) -> float:
    return round(float(score), DIGITS)
