"""Measures how hastily the picture changes: whether a change goes on from the last one, as movement does."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals, read_thumbs
from stages.quality.repeats import repeated


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Pace(Row):
    speed_score: float = column(
        "change of the change of a cell's luma from look to look, over the change, squared: "
        "0 where all moves evenly, 2 where each change is new, 3 where each picture is",
        unit="1",
    )


class MeasureSpeed(Annotate[Clip, Pace]):
    """Second differences over first ones, of the cells of the thumbs, `step_s` apart.

    How far things move cancels out; what is left is for how long they move alike. Played faster than it
    was filmed, or shown with too few frames, a clip leaves less of that between two looks; so does shake.
    Frames that repeat the one before are passed over, unless nearly all do, and so are looks in which the
    picture as a whole got lighter or darker, by `light` or more: one flash would outweigh all else. `grain`
    is the variance of luma that noise and coding leave in a cell, which is no change. Rejected: a clip of
    fewer than six frames.
    """

    version = 2
    from_store = True

    step_s: float = 1 / 30
    grain: float = 2.0
    repeat_below: float = 6.0  # of 255, as in MeasureFrame
    light: float = 12.0  # of 255

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Pace | Reject]:
        for row in rows:
            names = ("change_max", "change_mean")
            change = read_signals(row.signals, names, row.start_frame, row.end_frame)
            shown = np.ones(len(change["change_max"]), bool)
            shown[1:] = ~repeated(change["change_max"], change["change_mean"], self.repeat_below)
            if len(shown) < 6:
                yield Reject(f"too short to measure pace: {len(shown)} frames")
                continue
            if shown.sum() < 6:
                shown[:] = True
            cells = read_thumbs(row.signals, row.start_frame, row.end_frame)[0][shown].astype(np.float32)
            apart = max(1, round(self.step_s * len(cells) / row.duration_s))
            yield Pace(speed_score=self._haste(cells, min(apart, len(cells) // 3)))

    def _haste(self, cells: np.ndarray, apart: int) -> float:
        """Of cells [t h w]."""
        change = cells[apart:] - cells[:-apart]
        turned = ((change[apart:] - change[:-apart]) ** 2).mean((1, 2))
        each = (change**2).mean((1, 2))
        changed = (each[apart:] + each[:-apart]) / 2  # of the two that are compared
        lit = (each > self.light**2) & (change.mean((1, 2)) ** 2 > each / 2)
        calm = ~(lit[apart:] | lit[:-apart])
        if not calm.any():
            calm[:] = True
        return float(turned[calm].mean() / (changed[calm].mean() + self.grain))
