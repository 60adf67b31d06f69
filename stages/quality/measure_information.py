"""Measures how much information a clip holds: in its frames, and in the change between them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from manifests import Artifact, PositiveFloat, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals, read_thumbnails


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Information(Row):
    information: float = column("the smaller of frame_information and change_information", unit="bit")
    frame_information: float = column(
        "mean information of a thumbnail cell if a neighboring cell is known", unit="bit"
    )
    change_information: float = column(
        "mean information of a thumbnail cell if the same cell `step_s` earlier is known", unit="bit"
    )


class MeasureInformation(Annotate[Clip, Information]):
    """Measures how much a clip shows: bits of detail in its frames, and of change between them.

    The measure is the number of bits that give a cell's luma to within `luma_resolution`, if a related cell
    is known. With the difference d to the known cell, that is log2(1 + (d / luma_resolution)²) / 2, as in a
    Gaussian channel (Shannon 1948). A blank frame holds no information, however it moves. A frozen frame adds
    none, however detailed it is. A clip that is not longer than `step_s` is rejected.

    Attributes:
        step_s: Time in s between two frames that are compared.
        luma_resolution: Luma difference, in levels of 0 to 255, that counts as just visible. Higher values
            give less information.
    """

    version = 2
    from_store = True

    step_s: PositiveFloat = 0.5
    luma_resolution: PositiveFloat = 2.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Information | Reject]:
        for row in rows:
            times = read_signals(row.signals, ["time_s"], row.start_frame, row.end_frame)["time_s"]
            later = np.searchsorted(times, times + self.step_s * 0.999)
            count = int((later < len(times)).sum())
            if not count:
                yield Reject(f"too short to measure information: not longer than {self.step_s:g} s")
                continue
            cells = read_thumbnails(row.signals, row.start_frame, row.end_frame)[0].astype(np.float32)
            change = self._bits(cells[later[:count]] - cells[:count])
            frame = (self._bits(np.diff(cells, axis=1)) + self._bits(np.diff(cells, axis=2))) / 2
            yield Information(
                information=min(frame, change), frame_information=frame, change_information=change
            )

    def _bits(self, difference: npt.NDArray[np.float32]) -> float:
        return float(np.log2(1 + (difference / self.luma_resolution) ** 2).mean() / 2)
