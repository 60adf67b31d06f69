"""Runs on each rank: a training where one rank is slow at what may take long. Arguments: its folder, shards.

The ranks wait 3 s for each other in ordinary steps, and the slow rank takes 6 s.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

import training.recipes.world
from training.errors import LostRankError
from training.evaluation.evaluate import Evaluator
from training.loop.checkpoint import CheckpointManager
from training.objectives.denoising import Denoising
from training.parallel.mesh import process_group

LIMIT_S, SLOW_S = 3, 6
waited: list[str] = []
seen: set[Any] = set()


def delay(owner: Any, name: str, rank: int) -> None:
    """Make a function slow on one rank, the first time that it is called."""
    function = getattr(owner, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        if name not in waited:
            waited.append(name)
            time.sleep(SLOW_S * (dist.get_rank() == rank))
        return function(*args, **kwargs)

    setattr(owner, name, run)


def compute(self: Denoising, batch: Any, step: int) -> Any:
    """The loss; slow on rank 1 for the first clips of each shape, as if compiled, and in step 9."""
    if batch.latents.shape not in seen or step == 9:
        time.sleep(SLOW_S * (dist.get_rank() == 1))
    seen.add(batch.latents.shape)
    return objective(self, batch, step)


work, shards = Path(sys.argv[1]), json.loads(sys.argv[2])
settings = {
    "data": shards,
    "validation_data": shards,
    "batch_size": 2,
    "num_threads": 1,
    "quiet": True,
    "validation_interval": 4,
    "validation_max_clips": 2,
    "checkpoint_interval": 3,
    "async_checkpoint": False,
    "train_timeout_seconds": LIMIT_S,
}
objective = Denoising.__call__
Denoising.__call__ = compute  # type: ignore[method-assign]
delay(Evaluator, "__call__", 1)
delay(CheckpointManager, "_publish", 0)
delay(training.recipes.world, "save_model", 0)
try:
    with process_group():
        training.recipes.world.train(settings | {"steps": 6}, work)
        assert len(seen) == 2
        assert len(waited) == (3 if dist.get_rank() == 0 else 2)
        print("trained", (work / "model.safetensors").exists())
        training.recipes.world.train(settings | {"steps": 12}, work)
except LostRankError:
    print("an ordinary step is not so long")
