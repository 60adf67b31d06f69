"""Learning rates as functions of the step: a linear warm-up, then constant or a cosine down to a floor."""

import math
from collections.abc import Callable


def rates(
    peak: float, *, warmup: int = 0, shape: str = "constant", until: int = 0, floor_share: float = 0.1
) -> Callable[[int], float]:
    """The rate at step 0, 1, …; reaches `peak` at step `warmup`.

    Args:
        shape: "constant", or "cosine", which falls to `floor_share` of the peak at step `until`.

    Raises:
        ValueError: another shape, or a cosine that ends before the warm-up does.
    """
    if shape not in ("constant", "cosine"):
        raise ValueError(f"a rate is constant or cosine, not {shape!r}")
    if shape == "cosine" and until <= warmup:
        raise ValueError(f"a cosine from step {warmup} to step {until} has no length")

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        if shape == "constant":
            return peak
        way = min(1.0, (step - warmup) / (until - warmup))
        return peak * (floor_share + (1 - floor_share) * (1 + math.cos(math.pi * way)) / 2)

    return rate
