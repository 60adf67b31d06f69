"""The contract of an objective: the loss of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from training.tensors import Scalar

Batch = TypeVar("Batch", contravariant=True)


@dataclass(frozen=True)
class Loss:
    """A loss. All values are means over samples.

    Attributes:
        total: The value to minimize.
        parts: Values to log, by name. They carry no gradient.
        groups: Means to log over some of the samples, by name: tensors [2] of a sum and of a count. All
            batches have the same names. The mean over all microbatches and ranks is that of all samples of
            the group; a step without any has no value.
    """

    total: Scalar
    parts: Mapping[str, Scalar]
    groups: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Objective(Protocol[Batch]):
    """Computes the loss of a batch at a step.

    Random numbers depend only on the seed and on the position of each sample in the stream of samples, see
    `training.noise`. So the loss of a sample does not depend on its batch, on the rank, or on a restart.
    """

    def __call__(self, batch: Batch, step: int) -> Loss: ...
