"""Runs the stages of a training, one after another, in one trainer."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.data.batches import LatentBatch
from training.loop.checkpoint import CheckpointManager
from training.loop.trainer import Trainer
from training.networks.registry import NetworkConfig
from training.parallel.mesh import Mesh
from training.parallel.timeouts import Timeouts
from training.recipes.batches import build_batches
from training.recipes.build import build_lr
from training.recipes.monitor import Monitor
from training.recipes.objective import build_objective
from training.recipes.record import model_info, recorded_settings
from training.recipes.stages import Stage
from training.text_encoder import TextEncoder
from training.world_model import WorldModel


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages of a training.

    Attributes:
        trainer: It has resumed. Its model, optimizer and EMA are those of all stages.
        checkpoints: The checkpoints of the trainer.
        model: The model of the trainer.
        network: The config of its network.
        encoder: The text encoder.
        mesh: The ranks.
        timeouts: How long the ranks wait for each other.
        monitor: Shows the training.
    """

    trainer: Trainer[LatentBatch]
    checkpoints: CheckpointManager
    model: WorldModel
    network: NetworkConfig
    encoder: TextEncoder | None
    mesh: Mesh
    timeouts: Timeouts
    monitor: Monitor

    def fit(self, stages: Sequence[Stage]) -> None:
        """Run all stages that are not finished. At the end of each a checkpoint is saved."""
        self.trainer.total_steps = stages[-1].end_step
        for stage in stages:
            if self.trainer.step < stage.end_step:
                self._fit(stage, len(stages))

    def _fit(self, stage: Stage, num_stages: int) -> None:
        """Run one stage, from its start or from the step at which the training resumed."""
        config, trainer = stage.config, self.trainer
        info = model_info(config, stage.shards, self.network, self.encoder)
        self.monitor.begin_stage(config, info)
        changes = self.checkpoints.change_settings(
            trainer.step, recorded_settings(config, stage.shards), {"model": info.to_json()}
        )
        if num_stages > 1 and not config.quiet and self.mesh.rank == 0:
            _print_start(stage, num_stages, changes)
        (step,) = trainer.optimization_steps
        for group in step.optimizer.param_groups:
            group["weight_decay"] = config.weight_decay
        objective = build_objective(config, self.model, self.encoder, self.mesh)
        trainer.optimization_steps = [
            replace(step, objective=objective, lr=build_lr(config, stage.first_step))
        ]
        trainer.checkpoint_interval = config.checkpoint_interval
        trainer.max_skipped_steps = config.max_skipped_steps
        trainer.labels = {"stage": float(stage.number)} if num_stages > 1 else {}
        batches = build_batches(config, self.mesh, stage.shards)
        trainer.batches = batches
        self.timeouts.lengthen()  # the first clips are read by few ranks
        try:
            trainer.fit(stage.end_step)
        finally:
            batches.close()


def _print_start(stage: Stage, num_stages: int, changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Print which steps a stage has, and which settings it changes."""
    named = {name: values for name, values in changes.items() if name not in ("data", "steps")}
    text = "".join(f" · {name} {new} (was {old})" for name, (old, new) in named.items())
    steps = f"steps {stage.first_step + 1} to {stage.end_step}"
    print(f"stage {stage.number} of {num_stages}: {steps}{text}", file=sys.stderr, flush=True)
