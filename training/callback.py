"""The contract of a callback: it observes training steps and never changes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class StepReport:
    """Metrics of one step.

    Attributes:
        step: Steps taken so far, this one included.
        total_steps: The step at which the training ends, after all stages.
        metrics: Values by name: loss and its parts, grad_norm (before clipping), lr, step_s (duration in
            seconds), data_wait_s (seconds of step_s spent waiting for data), peak_memory_bytes (of rank 0,
            since its start), and the samples, tokens and flops of the step over all ranks. All values are
            finite. A step whose loss or gradient is not finite has "skipped" (1) instead of the value.
    """

    step: int
    total_steps: int
    metrics: Mapping[str, float]


@runtime_checkable
class Callback(Protocol):
    """Called on rank 0 only."""

    def on_step_end(self, report: StepReport) -> None: ...
