"""Learning-rate schedules: a linear warmup, then a constant rate, or a cosine or linear decay."""

import math
from collections.abc import Callable


def lr_schedule(
    peak_lr: float,
    *,
    warmup_steps: int = 0,
    decay: str = "constant",
    total_steps: int = 0,
    min_lr_share: float = 0.1,
) -> Callable[[int], float]:
    """The learning rate as a function of the step 0, 1, …; it reaches `peak_lr` at step `warmup_steps`.

    Args:
        peak_lr: The highest learning rate.
        warmup_steps: Steps of the linear warmup.
        decay: "constant", "cosine", which ends at `min_lr_share` of the peak at step `total_steps`, or
            "linear", which ends there at 0.
        total_steps: The step at which the decay ends.
        min_lr_share: The learning rate at the end of the cosine, as a share of the peak.

    Raises:
        ValueError: `decay` is another word, or the decay ends before the warmup does.
    """
    if decay not in ("constant", "cosine", "linear"):
        raise ValueError(f"the learning-rate schedule is constant, cosine or linear, not {decay!r}")
    if decay != "constant" and total_steps <= warmup_steps:
        raise ValueError(
            f"the decay starts at step {warmup_steps}, after the warmup, and ends at step {total_steps};"
            " train more steps or shorten the warmup"
        )

    def lr(step: int) -> float:
        if step < warmup_steps:
            return peak_lr * (step + 1) / (warmup_steps + 1)
        if decay == "constant":
            return peak_lr
        progress = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
        if decay == "linear":
            return peak_lr * (1 - progress)
        return peak_lr * (min_lr_share + (1 - min_lr_share) * (1 + math.cos(math.pi * progress)) / 2)

    return lr
