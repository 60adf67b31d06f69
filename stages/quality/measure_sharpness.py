"""Measures how sharp a clip is, from the sharpness of its stills."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Sharpness(Row):
    sharpness: float = column("steepness of the strongest edges, median over the stills", unit="1/px")
    sharpness_min: float = column(
        "steepness of the strongest edges, 10th percentile over the stills", unit="1/px"
    )


class MeasureSharpness(Annotate[Clip, Sharpness]):
    """Measures sharpness from the signals of the stills. A clip without a still is rejected."""

    version = 2
    from_store = True

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Sharpness | Reject]:
        for row in rows:
            values = read_signals(row.signals, ["sharpness"], row.start_frame, row.end_frame)["sharpness"]
            values = values[np.isfinite(values)].astype(float)
            if not values.size:
                yield Reject("too short to measure sharpness: the clip has no still")
                continue
            median, low = np.percentile(values, (50, 10))
            yield Sharpness(sharpness=float(median), sharpness_min=float(low))
