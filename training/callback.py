"""The promise of a watcher: it looks at a step and never touches it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Report:
    """What is known after a step.

    Attributes:
        step: steps taken so far.
        until: the step at which this fit ends.
        values: by name: loss and its parts, grad_norm (before clipping), rate (learning rate), step_s, wait_s
            (of step_s, spent waiting for data), and over all ranks samples, tokens and flops of the step.
    """

    step: int
    until: int
    values: Mapping[str, float]


@runtime_checkable
class Callback(Protocol):
    """Called on the first rank alone."""

    def after_step(self, report: Report) -> None: ...
