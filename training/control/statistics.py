"""Statistics of success rates: intervals, and the agreement of a model with the truth over policies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959964  # normal quantile of a two-sided interval of 95 %


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of a success rate, of 95 % by default.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Raises:
        ValueError: There is no trial, or there are more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials are not a rate")
    rate, scale = successes / trials, 1 + z * z / trials
    center = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, center - half), min(1.0, center + half)


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of pairs; nan if all x or all y are equal.

    Raises:
        ValueError: There are fewer than two pairs, or the lengths differ.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"{len(x)} and {len(y)} numbers are not two or more pairs")
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    dx, dy = [value - mean_x for value in x], [value - mean_y for value in y]
    spread = math.sqrt(math.fsum(d * d for d in dx) * math.fsum(d * d for d in dy))
    return math.fsum(a * b for a, b in zip(dx, dy, strict=True)) / spread if spread else math.nan


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation of pairs; equal numbers have the mean of their ranks. See `pearson`."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


@dataclass(frozen=True)
class Agreement:
    """How success rates in a model agree with the true ones, over several policies.

    Attributes:
        pearson: Correlation of the rates.
        spearman: Correlation of their ranks.
        bias: Mean of rate in the model - true rate. Above 0 the model is too optimistic.
        mean_error: Mean of the absolute difference.
    """

    pearson: float
    spearman: float
    bias: float
    mean_error: float


def compare_rates(in_model: Sequence[float], in_truth: Sequence[float]) -> Agreement:
    """Compare the success rates of policies in a model with the true ones.

    Raises:
        ValueError: There are fewer than two policies, or the lengths differ.
    """
    differences = [m - t for m, t in zip(in_model, in_truth, strict=True)]
    return Agreement(
        pearson(in_model, in_truth),
        spearman(in_model, in_truth),
        math.fsum(differences) / len(differences),
        math.fsum(map(abs, differences)) / len(differences),
    )
