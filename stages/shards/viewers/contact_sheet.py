"""Writes stills that the scan stored as one image, so the source may be gone: a contact sheet with times."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manifests import Artifact, ClipmillError, Row, Store
from manifests.errors import SchemaMismatch
from manifests.schema import rows_of
from stages.media.strip import Still, decode_still, read_strip
from stages.media.timecode import format_time

if TYPE_CHECKING:
    import pyarrow as pa

MAX_STILLS, MAX_COLUMNS = 24, 6
_GAP_PX, _LABEL_PX, _FONT_SCALE = 4, 18, 0.4
_BACKGROUND, _TEXT = 24, 220


class StillsOfRow(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float = 0.0
    end_s: float = math.inf


def write_sheet(row: "pa.Table", store: Store, path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Write stills of a clip, or of a whole video, as a PNG image with the time of each still.

    Args:
        row: A table with one row: the clip or the video.
        store: The store that holds its stills.
        path: The file to write.
        settings: Not used.

    Raises:
        ClipmillError: no stills of the row are stored.
    """
    import cv2

    _, data = cv2.imencode(".png", contact_sheet(stills_of(row, store)))
    path.write_bytes(data.tobytes())


def row_with_stills(row: "pa.Table", store: Store) -> StillsOfRow:
    """The stills of a row and its span, which for a video is the whole.

    Raises:
        ClipmillError: no stills are stored.
    """
    try:
        (stills,) = rows_of(row, StillsOfRow, store)
    except SchemaMismatch:
        stills = None
    if stills is None or stills.strip is None or not stills.strip_times_s:
        raise ClipmillError(
            "no stills of this row are stored", remedy="`clipmill explain` prints how far the row came"
        )
    if not store.exists(stills.strip.path):
        where = f"{store.url}/{stills.strip.path}"
        raise ClipmillError("the stored stills are missing", where=where, remedy="run the recipe again")
    return stills


def stills_of(row: "pa.Table", store: Store, max_stills: int = MAX_STILLS) -> list[Still]:
    """The stored stills of a row, evenly spread; of a very short clip the still nearest to its middle.

    Raises:
        ClipmillError: no stills are stored.
    """
    stills = row_with_stills(row, store)
    found = read_strip(stills, stills.start_s, stills.end_s, max_stills)
    if found:
        return found
    middle_s = (stills.start_s + stills.end_s) / 2
    nearest_s = min(stills.strip_times_s, key=lambda time_s: abs(time_s - middle_s))
    return read_strip(stills, nearest_s, math.nextafter(nearest_s, math.inf))


def contact_sheet(stills: Sequence[Still]) -> npt.NDArray[np.uint8]:
    """Arrange stills in rows with their times below, uint8 BGR [h w 3]."""
    import cv2

    images = [cv2.cvtColor(decode_still(still), cv2.COLOR_RGB2BGR) for still in stills]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    columns = min(MAX_COLUMNS, math.ceil(math.sqrt(len(images))))
    cell_height, cell_width = height + _LABEL_PX + _GAP_PX, width + _GAP_PX
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * cell_height + _GAP_PX, columns * cell_width + _GAP_PX, 3), _BACKGROUND, np.uint8)
    for place, (still, image) in enumerate(zip(stills, images, strict=True)):
        top = place // columns * cell_height + _GAP_PX
        left = place % columns * cell_width + _GAP_PX
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
        baseline = (left, top + height + _LABEL_PX - 5)
        color = (_TEXT, _TEXT, _TEXT)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(sheet, format_time(still.time_s), baseline, font, _FONT_SCALE, color, 1, cv2.LINE_AA)
    return sheet
