"""How long the ranks wait for each other in the steps of a trainer."""

from collections.abc import Callable
from dataclasses import replace

from training.data.batches import LatentBatch
from training.loop.trainer import PeriodicTask, Trainer
from training.parallel.timeouts import Timeouts


def set_timeouts(trainer: Trainer[LatentBatch], timeouts: Timeouts) -> None:
    """Wait long in steps with batches of a new shape, during tasks and in the step after them."""

    def with_long_timeout(run: Callable[[int], object]) -> Callable[[int], object]:
        def run_long(step: int) -> None:
            timeouts.lengthen()
            run(step)

        return run_long

    tasks = [replace(task, run=with_long_timeout(task.run)) for task in trainer.tasks]
    trainer.tasks = [PeriodicTask(1, lambda step: timeouts.shorten()), *tasks]
    trainer.before_step = lambda batches: timeouts.before_step(batch.latents.shape for batch in batches)
