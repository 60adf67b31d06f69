"""Measures what is wrong with the frames of a clip: borders, frozen stretches, doubled frames, slides."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.repeats import repeated

SIDES = ("border_top", "border_bottom", "border_left", "border_right")


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Frames(Row):
    border_share: float = column("share of the picture under black borders on its sides", unit="0..1")
    frozen_share: float = column("share of the frames in stretches that repeat one frame", unit="0..1")
    repeated_share: float = column("share of the frames that repeat the one before", unit="0..1")
    slideshow_share: float = column(
        "share of the frames in pictures at rest and the changes between", unit="0..1"
    )
    true_fps: float = column("frames that are new, per second", unit="1/s")


class MeasureFrame(Annotate[Clip, Frames]):
    """A border is what is black in nine of ten stills, at two facing sides alike; a dark sky is none.

    A frame repeats the one before when no pixel of the small frame changed by more than
    `repeat_below` of 255, or all of it by little between frames that changed by much. A stretch is
    frozen when its frames repeat for `frozen_s`, which footage of a lower frame rate in a file of a
    higher one does not. A slideshow is two or more pictures, each at rest for `slide_s`, with changes
    between them of at most `change_s`; pictures that are slowly moved or grown are not told from a
    camera that does so. Bars that are not black are no borders here.
    """

    version = 2
    from_store = True

    repeat_below: float = 6.0
    frozen_s: float = 0.4
    slide_s: float = 0.5
    change_s: float = 1.5
    changed: float = 2.0  # mean luma of 255, over the frames between, that makes it another picture
    border_within: float = 0.02  # of the side; facing borders differ by no more

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Frames | Reject]:
        for row in rows:
            stored = read_signals(
                row.signals, (*SIDES, "change_max", "change_mean"), row.start_frame, row.end_frame
            )
            looked = np.isfinite(stored[SIDES[0]])
            if not looked.any():
                yield Reject("too short to measure borders: no still lies in the clip")
                continue
            top, bottom, left, right = (float(np.percentile(stored[side][looked], 10)) for side in SIDES)
            shown = self._shown(top, bottom) * self._shown(left, right)
            repeats = repeated(stored["change_max"], stored["change_mean"], self.repeat_below)
            count, frames = int(repeats.sum()), row.end_frame - row.start_frame
            least = self.frozen_s * frames / row.duration_s
            yield Frames(
                border_share=1 - shown,
                frozen_share=sum(b - a for a, b in _stretches(repeats, least)) / max(1, len(repeats)),
                repeated_share=count / max(1, len(repeats)),
                slideshow_share=self._slides(repeats, stored["change_mean"][1:], frames / row.duration_s),
                true_fps=(frames - count) / row.duration_s,
            )

    def _shown(self, one: float, other: float) -> float:
        """What two facing borders leave of a side."""
        return max(0.0, 1 - one - other) if abs(one - other) <= self.border_within else 1.0

    def _slides(self, repeats: np.ndarray, change: np.ndarray, fps: float) -> float:
        """The share of the frames that belong to a slideshow; `change` is what each differs from the last."""
        covered, last = 0, -1
        stretches = _stretches(repeats, self.slide_s * fps)
        for (start, end), (following, after) in pairwise(stretches):
            if following - end <= self.change_s * fps and change[end:following].sum() >= self.changed:
                covered += after - max(start, last)
                last = after
        return covered / max(1, len(repeats))


def _stretches(repeats: np.ndarray, least: float) -> list[tuple[int, int]]:
    """The runs of at least `least` frames that repeat the one before, as start and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.astype(np.int8), [0]])))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(start, end) for start, end in runs if end - start >= max(2.0, least)]
