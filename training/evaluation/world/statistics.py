"""Means over clips with bootstrap intervals, paired by clip."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES, CONFIDENCE = 2000, 0.95
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over clips.

    Attributes:
        mean: NaN if no clip was measured.
        low: Lower end of the 95 % interval; NaN with fewer than two clips.
        high: Upper end.
        clips: Number of clips that were measured.
    """

    mean: float
    low: float
    high: float
    clips: int

    def to_json(self) -> dict[str, Any]:
        """The values; NaN is null."""
        return {name: none_if_nan(value) for name, value in asdict(self).items()}

    def text(self, form: str) -> str:
        """The mean and the interval, or a dash."""
        if math.isnan(self.mean):
            return "–"
        if math.isnan(self.low):
            return format(self.mean, form)
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


def none_if_nan(value: float) -> float | None:
    """The value as JSON has it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Bootstrap:
    """Percentile bootstrap over clips. Source: Efron and Tibshirani 1993, chapter 13.

    All estimates resample the same clips, so that rows of a table are compared on equal clips.

    Args:
        clips: Names of all clips.
        seed: Of the resampling.
    """

    def __init__(self, clips: tuple[str, ...], seed: int = 0) -> None:
        self.clips = clips
        rng = np.random.default_rng(seed)
        self._chosen = rng.integers(0, max(1, len(clips)), (RESAMPLES, len(clips)))

    def estimate(self, values: Mapping[str, float]) -> Estimate:
        """The mean of the values by clip; missing and NaN ones are not measured."""
        return self._estimate(self._array(values))

    def difference(self, values: Mapping[str, float], base: Mapping[str, float]) -> Estimate:
        """The mean of values minus base, over the clips that have both."""
        return self._estimate(self._array(values) - self._array(base))

    def _array(self, values: Mapping[str, float]) -> Array:
        return np.array([values.get(name, math.nan) for name in self.clips], np.float64)

    def _estimate(self, array: Array) -> Estimate:
        known = ~np.isnan(array)
        count = int(known.sum())
        if not count:
            return Estimate(math.nan, math.nan, math.nan, 0)
        mean = float(array[known].mean())
        if count < 2 or not np.isfinite(mean):
            return Estimate(mean, math.nan, math.nan, count)
        drawn, counted = np.where(known, array, 0.0)[self._chosen].sum(1), known[self._chosen].sum(1)
        means = drawn[counted > 0] / counted[counted > 0]
        edge = (1 - CONFIDENCE) / 2
        low, high = np.quantile(means, (edge, 1 - edge))
        return Estimate(mean, float(low), float(high), count)


def mean_curve(curves: Mapping[str, Array]) -> Array:
    """The mean of curves by clip at each frame, over the clips that have it, [t]; NaN where none has."""
    length = max((len(curve) for curve in curves.values()), default=0)
    padded = np.full((len(curves), length), math.nan)
    for row, values in zip(padded, curves.values(), strict=True):
        row[: len(values)] = values
    known = ~np.isnan(padded)
    count = known.sum(0)
    total = np.where(known, padded, 0.0).sum(0)
    curve: Array = np.where(count > 0, total / np.maximum(count, 1), math.nan)
    return curve
