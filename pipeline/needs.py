"""What one worker of a stage needs. Never part of a result's key."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Resources of one worker, and how it is fed.

    Attributes:
        cpus: logical cores a worker keeps busy; may be a fraction.
        gpus: devices; below 1 several workers share one device.
        memory_gb: main memory, in units of 2**30 bytes; 0 leaves it unstated.
        batch: rows handed to the stage at once.
        workers: most workers at a time; 0 takes as many as fit.
        ranks: processes of a `Launch`; other stages ignore it.
        retries: further tries of a row whose stage failed with anything but a `Reject`.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    batch: int = 1
    workers: int = 0
    ranks: int = 1
    retries: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; a worker needs at least 1 row")
        if self.ranks < 1:
            raise ValueError(f"ranks is {self.ranks}; a program has at least 1 rank")
        if min(self.cpus, self.gpus, self.memory_gb, self.workers, self.retries) < 0:
            raise ValueError(f"{self} asks for less than nothing")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus is {self.gpus}; above 1 only whole devices can be had")
