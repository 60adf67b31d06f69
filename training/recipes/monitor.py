"""What a training shows while it runs: loss curve, progress, TensorBoard, validation and previews."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.callback import Callback
from training.callbacks.loss_curve import LossCurve
from training.callbacks.progress import Progress
from training.callbacks.tensorboard import TensorBoard, check_tensorboard
from training.data.batches import LatentBatch
from training.data.shards import LatentShards, LatentSpec
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate import Evaluator
from training.evaluation.validation import Validation, ValidationLogs
from training.loop.trainer import PeriodicTask, Trainer
from training.model import ModelInfo
from training.parallel.mesh import Mesh
from training.recipes.config import TrainingConfig
from training.recipes.pretrained_text import PRECOMPUTED, reopen_text_encoder
from training.text_encoder import TextEncoder
from training.world_model import WorldModel

CURVE_FILE, VALIDATION_FILE = "curve.jsonl", "validation.jsonl"


@dataclass(frozen=True)
class Monitor:
    """What a training shows while it runs.

    Attributes:
        validation: Evaluates the EMA weights; None without held-out clips.
        tensorboard: Event files; None without them, and on ranks other than 0.
    """

    validation: Validation | None
    tensorboard: TensorBoard | None

    def close(self) -> None:
        """Write what is still in memory."""
        if self.tensorboard is not None:
            self.tensorboard.close()


def check_monitor(config: TrainingConfig) -> None:
    """Check, before anything is built, that the packages of the settings are installed.

    Raises:
        TrainingError: One is not.
    """
    if config.tensorboard:
        check_tensorboard()


def add_monitor(
    trainer: Trainer[LatentBatch],
    config: TrainingConfig,
    work: Path,
    mesh: Mesh,
    info: ModelInfo,
    encoder: TextEncoder | None,
    peak_flops: float,
) -> Monitor:
    """Add callbacks and tasks to a trainer that has resumed.

    Raises:
        LatentMismatchError: The held-out clips were made differently from those of the training.
    """
    tensorboard = None
    if mesh.rank == 0:
        callbacks: Sequence[Callback] = [LossCurve(work / CURVE_FILE, trainer.step, peak_flops)]
        if config.tensorboard:
            tensorboard = TensorBoard(work / "tensorboard", trainer.step, peak_flops)
            callbacks = [*callbacks, tensorboard]
        trainer.callbacks = callbacks if config.quiet else [*callbacks, Progress(peak_flops=peak_flops)]
    if not config.validation_data:
        return Monitor(None, tensorboard)
    assert isinstance(trainer.model, WorldModel)
    logs = None
    if mesh.rank == 0:
        logs = ValidationLogs(work / VALIDATION_FILE, trainer.step, tensorboard, config.quiet)
    evaluator = _evaluator(config, mesh, info, trainer.model, encoder)
    validation = Validation(trainer.model, trainer.ema.weights, evaluator, logs)
    if config.validation_interval:
        trainer.tasks = [PeriodicTask(config.validation_interval, validation)]
    return Monitor(validation, tensorboard)


def _evaluator(
    config: TrainingConfig, mesh: Mesh, info: ModelInfo, model: WorldModel, encoder: TextEncoder | None
) -> Evaluator:
    """Evaluates the model of a training on its held-out clips."""
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    shards = LatentShards(config.validation_data, spec=spec, mixed_fps=info.network.base_fps is not None)
    if config.text_encoder == PRECOMPUTED:
        encoder = reopen_text_encoder("", model, info, shards)
    return Evaluator(
        model.denoiser,
        EvaluationClips(shards, config.validation_max_clips),
        encoder,
        conditional_frames=dict(enumerate(config.conditional_frames)),
        condition_timestep=config.condition_timestep,
        rank=mesh.data_rank,
        num_ranks=mesh.num_data_ranks,
        reduce_sum=lambda sums: mesh.mean(sums) * mesh.num_data_ranks,
        device=mesh.device,
    )
