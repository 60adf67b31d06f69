"""Measures how much there is to learn from a clip: how much its pictures hold, and how much they change."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals, read_thumbs


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Information(Row):
    information: float = column("the lesser of what its pictures hold and what their change adds", unit="bit")
    picture_information: float = column(
        "of a cell of the thumb, given its neighbours, on average", unit="bit"
    )
    change_information: float = column(
        "of a cell, given the same cell `step_s` before, on average", unit="bit"
    )


class MeasureInformation(Annotate[Clip, Information]):
    """Bits to tell a cell of luma to within `just_seen` levels, once a cell near it is known.

    With the difference d to the known one, log2(1 + (d / just_seen)²) / 2, as of a Gaussian channel
    (Shannon 1948). A blank picture holds nothing however it moves, and a frozen one adds nothing however
    rich it is. Rejected: a clip that is not longer than `step_s`.
    """

    from_store = True

    step_s: float = 0.5
    just_seen: float = 2.0  # of 255

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Information | Reject]:
        for row in rows:
            times = read_signals(row.signals, ["time_s"], row.start_frame, row.end_frame)["time_s"]
            later = np.searchsorted(times, times + self.step_s * 0.999)
            count = int((later < len(times)).sum())
            if not count:
                yield Reject(f"too short to measure information: not longer than {self.step_s:g} s")
                continue
            cells = read_thumbs(row.signals, row.start_frame, row.end_frame)[0].astype(np.float32)
            added = self._bits(cells[later[:count]] - cells[:count])
            held = (self._bits(np.diff(cells, axis=1)) + self._bits(np.diff(cells, axis=2))) / 2
            yield Information(
                information=min(held, added), picture_information=held, change_information=added
            )

    def _bits(self, difference: np.ndarray) -> float:
        return float(np.log2(1 + (difference / self.just_seen) ** 2).mean() / 2)
