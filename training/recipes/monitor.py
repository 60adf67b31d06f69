"""What a training shows while it runs: loss curve, progress, TensorBoard, validation and previews."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.callback import Callback
from training.callbacks.loss_curve import LossCurve
from training.callbacks.progress import Progress
from training.callbacks.tensorboard import TensorBoard, check_tensorboard
from training.data.batches import LatentBatch
from training.data.latent_statistics import normalize
from training.data.shard import LatentSpec
from training.data.shards import LatentShards
from training.errors import SettingError
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate import Evaluator
from training.evaluation.previews import PreviewRequest, Previews, check_video_writer, read_prompts
from training.evaluation.validation import Validation, ValidationLogs
from training.loop.trainer import PeriodicTask, Trainer
from training.model import ModelInfo
from training.parallel.mesh import Mesh
from training.recipes.config import TrainingConfig
from training.recipes.pretrained_text import PRECOMPUTED, reopen_text_encoder
from training.recipes.sampling import open_tokenizer
from training.text_encoder import TextEncoder
from training.world_model import WorldModel

CURVE_FILE, VALIDATION_FILE = "curve.jsonl", "validation.jsonl"
NUM_PREVIEWS = 4  # of held-out clips


@dataclass(frozen=True)
class Monitor:
    """What a training shows while it runs.

    Attributes:
        validation: Evaluates the EMA weights; None without held-out clips.
        tensorboard: Event files; None without them, and on ranks other than 0.
        previews: Writes videos; None without `preview_interval`.
    """

    validation: Validation | None
    tensorboard: TensorBoard | None
    previews: Previews | None = None

    def begin_stage(self, info: ModelInfo) -> None:
        """Sample previews as the model of a stage is sampled from: in its size, with its shift."""
        if self.previews is not None:
            self.previews.shape, self.previews.flow_shift = info.latent_shapes[0], info.flow_shift

    def close(self) -> None:
        """Write what is still in memory."""
        if self.tensorboard is not None:
            self.tensorboard.close()
        if self.previews is not None:
            self.previews.close()


def check_monitor(config: TrainingConfig) -> None:
    """Check, before anything is built, that the packages of the settings are installed.

    Raises:
        TrainingError: One is not.
        SettingError: There are no prompts for previews.
    """
    if config.tensorboard:
        check_tensorboard()
    if not config.preview_interval:
        return
    check_video_writer()
    if config.preview_prompts:
        read_prompts(config.preview_prompts)
    elif not config.validation_data:
        raise SettingError(
            "previews need prompts, and there are no held-out clips that have captions",
            remedy="set preview_prompts to a text file with one prompt per line",
        )
    if config.text_encoder == PRECOMPUTED:
        raise SettingError(
            "previews need a text encoder, and this training reads text embeddings from the shards",
            remedy="leave preview_interval out, and sample from the trained model",
        )


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
    assert isinstance(trainer.model, WorldModel)
    shards = _held_out(config, info)
    previews = None
    if config.preview_interval:
        previews = _previews(config, work, mesh, info, trainer, encoder, shards)
        trainer.tasks = [PeriodicTask(config.preview_interval, previews)]
    if shards is None:
        return Monitor(None, tensorboard, previews)
    logs = None
    if mesh.rank == 0:
        logs = ValidationLogs(work / VALIDATION_FILE, trainer.step, tensorboard, config.quiet)
    evaluator = _evaluator(config, mesh, info, trainer.model, encoder, shards)
    validation = Validation(trainer.model, trainer.ema.weights, evaluator, logs)
    if config.validation_interval:
        trainer.tasks = [PeriodicTask(config.validation_interval, validation), *trainer.tasks]
    return Monitor(validation, tensorboard, previews)


def _held_out(config: TrainingConfig, info: ModelInfo) -> LatentShards | None:
    """The held-out clips, or None."""
    if not config.validation_data:
        return None
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    shards = LatentShards(config.validation_data, spec=spec, mixed_fps=info.network.base_fps is not None)
    shards.normalize = partial(normalize, statistics=info.latent_statistics)
    return shards


def _previews(
    config: TrainingConfig,
    work: Path,
    mesh: Mesh,
    info: ModelInfo,
    trainer: Trainer[LatentBatch],
    encoder: TextEncoder | None,
    shards: LatentShards | None,
) -> Previews:
    """Samples previews with the EMA weights of a training."""
    assert isinstance(trainer.model, WorldModel)
    if config.preview_prompts:
        requests = [PreviewRequest(prompt) for prompt in read_prompts(config.preview_prompts)]
    else:
        requests = _requests(config, shards)
    folder = work / "previews"
    if mesh.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prompts.txt").write_text("".join(f"{request.prompt}\n" for request in requests))
    return Previews(
        trainer.model,
        trainer.model.denoiser,
        trainer.ema.weights,
        requests,
        info.latent_shapes[0],
        info.fps,
        open_tokenizer("", info),
        encoder,
        folder,
        num_inference_steps=config.preview_num_inference_steps,
        flow_shift=info.flow_shift,
        condition_timestep=config.condition_timestep,
        latent_statistics=info.latent_statistics,
        rank=mesh.data_rank,
        num_ranks=mesh.num_data_ranks,
        writes=mesh.context_rank == 0,
        device=mesh.device,
    )


def _requests(config: TrainingConfig, shards: LatentShards | None) -> list[PreviewRequest]:
    """The captions of the first held-out clips, and their first frames if image-to-video is trained."""
    assert shards is not None
    gives_frames = len(config.conditional_frames) > 1 and config.conditional_frames[1] > 0
    requests = []
    for batch in EvaluationClips(shards, NUM_PREVIEWS).batches(1):
        (latents,), (caption,) = batch.clips.latents, batch.clips.captions
        first_frame = latents[:, 0] if gives_frames else None
        requests.append(PreviewRequest(" ".join(caption.split()), first_frame))
    return requests


def _evaluator(
    config: TrainingConfig,
    mesh: Mesh,
    info: ModelInfo,
    model: WorldModel,
    encoder: TextEncoder | None,
    shards: LatentShards,
) -> Evaluator:
    """Evaluates the model of a training on its held-out clips."""
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
