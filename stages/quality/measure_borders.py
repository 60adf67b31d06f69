"""Measures the borders of a clip, black or blurred, and the rectangle of the picture inside them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from manifests import Artifact, PositiveInt, Row, Share, column
from pipeline import Annotate, Needs, Reject
from stages.media.signals import read_signals
from stages.media.strip import decode_still, read_strip
from stages.quality.measures.border_detection import find_blurred_bars, refine_black_border

SIDES = ("border_top", "border_bottom", "border_left", "border_right")

Span = tuple[int, int]  # first px of the picture, and first px after it


class Clip(Row):
    signals: Artifact
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    width_px: int
    height_px: int


class Borders(Row):
    border_kind: str = column(
        "none; black; or blurred: bars that show an enlarged and blurred copy of the picture"
    )
    crop_x_px: int = column("left edge of the picture inside the borders", unit="px")
    crop_y_px: int = column("top edge of the picture inside the borders", unit="px")
    crop_width_px: int = column("width of the picture inside the borders; even if there are any", unit="px")
    crop_height_px: int = column("height of the picture inside the borders; even if there are any", unit="px")


class MeasureBorders(Annotate[Clip, Borders]):
    """Finds black borders and blurred bars, and the picture inside them. `CutClip` crops to this picture.

    **Black**: as `border_share` of `MeasureFrame`: black in nine of ten stills, equally wide at two opposite
    sides. **Blurred**: two equally wide bars with little detail that look like the picture, enlarged. Edges
    are found in the stills and rounded inwards, so that no line of a border remains: at 1920 px, up to 12 px
    of the picture are lost at each side. Bars of a single color other than black, or with a graphic, are not
    found.

    A clip without a still is rejected.

    Attributes:
        max_stills: Stills of a clip that are compared, at most. Higher values take longer.
        min_border_share: Share of the width or height from which two opposite borders count. Higher values
            find fewer borders.
        border_tolerance: Difference of two opposite black borders, as a share of the image side, at most.
            Higher values find more borders.
    """

    needs = Needs(cpus=1, memory_gb=1, batch=8)

    max_stills: PositiveInt = 12
    min_border_share: Share = 0.02
    border_tolerance: Share = 0.02

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Borders | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            images = read_strip(row, row.start_s, row.end_s, self.max_stills)
            if not images:
                yield Reject("too short to measure borders: the clip has no still")
                continue
            stills = np.stack([cv2.cvtColor(decode_still(s), cv2.COLOR_RGB2GRAY) for s in images])
            yield self._borders(row, stills.astype(np.float32))

    def _borders(self, row: Clip, stills: npt.NDArray[np.float32]) -> Borders:
        height, width = stills.shape[1:]
        upright = stills.transpose(0, 2, 1)
        top, bottom, left, right = self._black_shares(row)
        kind, rows, columns = "black", self._black(stills, top, bottom), self._black(upright, left, right)
        if rows is columns is None:
            kind, columns = "blurred", find_blurred_bars(stills)
            rows = None if columns else find_blurred_bars(upright)
        if rows is columns is None:
            return Borders(
                border_kind="none",
                crop_x_px=0,
                crop_y_px=0,
                crop_width_px=row.width_px,
                crop_height_px=row.height_px,
            )
        x, end_x = _source_span(columns or (0, width), width, row.width_px)
        y, end_y = _source_span(rows or (0, height), height, row.height_px)
        return Borders(
            border_kind=kind, crop_x_px=x, crop_y_px=y, crop_width_px=end_x - x, crop_height_px=end_y - y
        )

    def _black_shares(self, row: Clip) -> tuple[float, ...]:
        signals = read_signals(row.signals, SIDES, row.start_frame, row.end_frame)
        known = [signals[side][np.isfinite(signals[side])] for side in SIDES]
        return tuple(float(np.percentile(values, 10)) if values.size else 0.0 for values in known)

    def _black(self, stills: npt.NDArray[np.float32], one: float, other: float) -> Span | None:
        """The span of the picture between black borders at the top and the bottom of the stills."""
        is_border = abs(one - other) <= self.border_tolerance and min(one, other) > 0
        if not is_border or not self.min_border_share <= one + other < 1:
            return None
        height = stills.shape[1]
        first = refine_black_border(stills, one)
        end = height - refine_black_border(stills[:, ::-1], other)
        return (first, end) if first < end else None


def _source_span(span: Span, side: int, source_px: int) -> Span:
    """A span of a still's side in px of the source, rounded inwards to even numbers."""
    first, end = (round(2 * edge * source_px / side) for edge in span)
    return -(-first // 4) * 2, end // 4 * 2
