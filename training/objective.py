"""The promise of an objective: what is to become small."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from training.tensors import Scalar

Batch = TypeVar("Batch", contravariant=True)


@dataclass(frozen=True)
class Loss:
    """`total` is minimised; `parts` are only looked at, and carry no gradient. All are means over samples."""

    total: Scalar
    parts: Mapping[str, Scalar]


@runtime_checkable
class Objective(Protocol[Batch]):
    """The loss of a batch at a step.

    What is random in it is drawn from counters keyed by (seed, sample, step), see `training.noise`: so a
    sample's share of the loss does not depend on which batch, rank or attempt it is worked on in.
    """

    def __call__(self, batch: Batch, step: int) -> Loss: ...
