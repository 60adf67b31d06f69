"""Measures how bright a clip is, how much of it is clipped, and whether its light flickers."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from manifests import Artifact, PositiveFloat, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Light(Row):
    light_mean: float = column("mean luma, from 0 (black) to 1 (white)", unit="0..1")
    light_spread: float = column("standard deviation of luma within a frame, mean over the clip", unit="0..1")
    highlight_luma: float = column(
        "luma of the highlights: mean plus two standard deviations of luma; above 1 if much is white",
        unit="1",
    )
    light_range: float = column(
        "95th minus 5th percentile over the frames of a frame's mean luma", unit="0..1"
    )
    underexposed_share: float = column("share of pixels clipped to black", unit="0..1")
    overexposed_share: float = column("share of pixels with two clipped color channels", unit="0..1")
    flicker: float = column(
        "median difference of a frame's mean luma to its moving average, over the clip's mean luma", unit="1"
    )


class MeasureLight(Annotate[Clip, Light]):
    """Measures brightness, clipping and flicker, from the signals.

    Flicker is the median difference between a frame's mean luma and the moving average over `smoothing_s`
    around it, divided by the clip's mean luma. So neither one flash nor a slow change of light counts.
    Clipping is measured on stills only. A clip without a still is rejected.

    Attributes:
        smoothing_s: Length in s of the moving average. Higher values also count slower changes as flicker.
    """

    version = 4
    from_store = True

    smoothing_s: PositiveFloat = 0.5

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Light | Reject]:
        names = ("light_mean", "light_spread", "clipped_dark", "clipped_bright")
        for row in rows:
            signals = read_signals(row.signals, names, row.start_frame, row.end_frame)
            mean, spread, dark, bright = (signals[name].astype(float) for name in names)
            measured = np.isfinite(dark)
            if not measured.any():
                yield Reject("too short to measure light: the clip has no still")
                continue
            low, high = np.percentile(mean, (5, 95))
            yield Light(
                light_mean=float(mean.mean()),
                light_spread=float(spread.mean()),
                highlight_luma=float((mean + 2 * spread).mean()),
                light_range=float(high - low),
                underexposed_share=float(dark[measured].mean()),
                overexposed_share=float(bright[measured].mean()),
                flicker=self._flicker(mean, len(mean) / row.duration_s),
            )

    def _flicker(self, luma: npt.NDArray[np.float64], fps: float) -> float:
        half = max(1, round(self.smoothing_s * fps / 2))
        padded = np.pad(luma, half, mode="reflect") if len(luma) > half else luma
        sums = np.cumsum(np.concatenate([[0.0], padded]))
        window = 2 * half + 1
        if len(sums) <= window:
            return 0.0
        average = (sums[window:] - sums[:-window]) / window
        return float(np.median(np.abs(luma - average)) / max(luma.mean(), 1 / 255))
