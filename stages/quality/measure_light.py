"""Measures how bright a clip is and how much of it is clipped."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate
from stages.media.signals import read_signals


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Light(Row):
    light_mean: float = column("mean luma, from black 0 to white 1", unit="0..1")
    light_spread: float = column("standard deviation of luma within a frame, mean over the clip", unit="0..1")
    light_swing: float = column(
        "range of the frames' mean luma, without the lowest and highest 5 %", unit="0..1"
    )
    dark_share: float = column("share of pixels clipped to black", unit="0..1")
    bright_share: float = column("share of pixels clipped to white", unit="0..1")


class MeasureLight(Annotate[Clip, Light]):
    """Means over the frames of the clip."""

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Light]:
        names = ("light_mean", "light_spread", "clipped_dark", "clipped_bright")
        for row in rows:
            signals = read_signals(row.signals, names, row.start_frame, row.end_frame)
            mean, spread, dark, bright = (signals[name].astype(float) for name in names)
            low, high = np.percentile(mean, (5, 95))
            yield Light(
                light_mean=float(mean.mean()),
                light_spread=float(spread.mean()),
                light_swing=float(high - low),
                dark_share=float(dark.mean()),
                bright_share=float(bright.mean()),
            )
