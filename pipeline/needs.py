"""Resources of one worker of a stage. They are never part of the key of a result."""

import math
from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt

_MIN_GPUS = 0.0001  # Ray counts in this unit


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Resources and batch size of one worker.

    Attributes:
        cpus: Logical CPU cores that a worker uses; can be a fraction.
        gpus: GPUs per worker: a whole number, or a share below 1. With 0.25, four workers share one GPU.
        memory_gb: Main memory in GiB (2**30 bytes); 0 means unspecified.
        batch: Number of rows that the stage receives per call. A call for which memory is not enough is
            repeated with half of them.
        workers: Maximum number of concurrent workers; 0 starts as many as fit.
        workers_per_node: Maximum number of concurrent workers on each node, each with its own model; 0 starts
            as many as fit.
        ranks: Number of processes of a `Launch`; other stages ignore it.
        retries: Number of retries for a row after any exception except `Reject`.
    """

    cpus: NonNegativeFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    memory_gb: NonNegativeFloat = 0.0
    batch: PositiveInt = 1
    workers: NonNegativeInt = 0
    workers_per_node: NonNegativeInt = 0
    ranks: PositiveInt = 1
    retries: NonNegativeInt = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1 row")
        if self.ranks < 1:
            raise ValueError(f"ranks is {self.ranks}; it must be at least 1")
        for name in ("cpus", "gpus", "memory_gb", "workers", "workers_per_node", "retries"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}; it must be 0 or greater")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus is {self.gpus}; it must be a whole number, or a share of a GPU below 1")
        if 0 < self.gpus < _MIN_GPUS:
            raise ValueError(f"gpus is {self.gpus}; the smallest share of a GPU is {_MIN_GPUS}")
