"""Resources of one worker of a stage. They are never part of the key of a result."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Resources and batch size of one worker.

    Attributes:
        cpus: Logical CPU cores that a worker uses; can be a fraction.
        gpus: GPUs per worker. With a value below 1, several workers share one GPU.
        memory_gb: Main memory in GiB (2**30 bytes); 0 means unspecified.
        batch: Number of rows that the stage receives per call.
        workers: Maximum number of concurrent workers; 0 starts as many as fit.
        ranks: Number of processes of a `Launch`; other stages ignore it.
        retries: Number of retries for a row after any exception except `Reject`.
    """

    cpus: NonNegativeFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    memory_gb: NonNegativeFloat = 0.0
    batch: PositiveInt = 1
    workers: NonNegativeInt = 0
    ranks: PositiveInt = 1
    retries: NonNegativeInt = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1 row")
        if self.ranks < 1:
            raise ValueError(f"ranks is {self.ranks}; it must be at least 1")
        if min(self.cpus, self.gpus, self.memory_gb, self.workers, self.retries) < 0:
            raise ValueError(f"{self} has a negative value")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus is {self.gpus}; above 1 it must be a whole number of devices")
