"""Measures how bright a clip is, how much of it is clipped, and whether its light flickers."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Light(Row):
    light_mean: float = column("mean luma, from black 0 to white 1", unit="0..1")
    light_spread: float = column("standard deviation of luma within a frame, mean over the clip", unit="0..1")
    highlight_luma: float = column(
        "mean and twice the spread: only highlights are brighter; above 1 where much is white", unit="1"
    )
    light_swing: float = column(
        "range of the frames' mean luma, without the lowest and highest 5 %", unit="0..1"
    )
    dark_share: float = column("share of pixels clipped to black", unit="0..1")
    overexposed_share: float = column("share of pixels clipped to white", unit="0..1")
    flicker: float = column("how far frames leave the course of light of their half second, of it", unit="1")


class MeasureLight(Annotate[Clip, Light]):
    """Means over the frames of the clip.

    Flicker is the median size of what a frame's mean luma differs from the mean of the `course_s` around
    it, over the clip's mean luma; so neither one flash nor a slow change of light counts. What is clipped is
    asked of the stills. Rejected: a clip so short that none of them fell into it.
    """

    version = 2
    from_store = True

    course_s: float = 0.5

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Light | Reject]:
        names = ("light_mean", "light_spread", "clipped_dark", "clipped_bright")
        for row in rows:
            signals = read_signals(row.signals, names, row.start_frame, row.end_frame)
            mean, spread, dark, bright = (signals[name].astype(float) for name in names)
            looked = np.isfinite(dark)
            if not looked.any():
                yield Reject("too short to measure light: no still lies in the clip")
                continue
            low, high = np.percentile(mean, (5, 95))
            yield Light(
                light_mean=float(mean.mean()),
                light_spread=float(spread.mean()),
                highlight_luma=float((mean + 2 * spread).mean()),
                light_swing=float(high - low),
                dark_share=float(dark[looked].mean()),
                overexposed_share=float(bright[looked].mean()),
                flicker=self._flicker(mean, len(mean) / row.duration_s),
            )

    def _flicker(self, light: np.ndarray, fps: float) -> float:
        around = max(1, round(self.course_s * fps / 2))
        padded = np.pad(light, around, mode="reflect") if len(light) > around else light
        sums = np.cumsum(np.concatenate([[0.0], padded]))
        window = 2 * around + 1
        if len(sums) <= window:
            return 0.0
        course = (sums[window:] - sums[:-window]) / window
        return float(np.median(np.abs(light - course)) / max(light.mean(), 1 / 255))
