"""Measures what is wrong with the frames of a clip: black borders, frozen stretches, doubled frames."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate
from stages.media.signals import read_signals

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
    true_fps: float = column("frames that are new, per second", unit="1/s")


class MeasureFrame(Annotate[Clip, Frames]):
    """A border is what is black in nine of ten frames, at two facing sides alike; a dark sky is none.

    A frame repeats the one before when no pixel of the small frame changed by more than
    `repeat_below` of 255. A stretch is frozen when its frames repeat for `frozen_s`, which
    footage of a lower frame rate in a file of a higher one does not.
    """

    repeat_below: float = 6.0
    frozen_s: float = 0.4
    border_within: float = 0.02  # of the side; facing borders differ by no more

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Frames]:
        for row in rows:
            stored = read_signals(row.signals, (*SIDES, "change_max"), row.start_frame, row.end_frame)
            top, bottom, left, right = (float(np.percentile(stored[side], 10)) for side in SIDES)
            shown = self._shown(top, bottom) * self._shown(left, right)
            repeats = stored["change_max"][1:] <= self.repeat_below
            count, frames = int(repeats.sum()), row.end_frame - row.start_frame
            least = self.frozen_s * frames / row.duration_s
            yield Frames(
                border_share=1 - shown,
                frozen_share=_in_stretches(repeats, least) / max(1, len(repeats)),
                repeated_share=count / max(1, len(repeats)),
                true_fps=(frames - count) / row.duration_s,
            )

    def _shown(self, one: float, other: float) -> float:
        """What two facing borders leave of a side."""
        return max(0.0, 1 - one - other) if abs(one - other) <= self.border_within else 1.0


def _in_stretches(repeats: np.ndarray, least: float) -> int:
    """How many frames lie in runs of at least `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= max(2.0, least)].sum())
