"""What a training shows while it runs: loss curve, progress, TensorBoard, validation and previews."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.callback import Callback
from training.callbacks.loss_curve import LossCurve
from training.callbacks.progress import Progress
from training.callbacks.tensorboard import TensorBoard, check_tensorboard
from training.data.batches import LatentBatch
from training.data.codes.paired_shards import open_latents
from training.data.latent_statistics import normalize
from training.data.shard import LatentSpec
from training.data.shards import LatentShards
from training.errors import LatentMismatchError, SettingError
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate import Evaluator
from training.evaluation.previews import PreviewRequest, Previews, check_video_writer, read_prompts
from training.evaluation.result import EvaluationResult
from training.evaluation.validation import Validation, ValidationLogs
from training.loop.trainer import PeriodicTask, Trainer
from training.model import ModelInfo, spec_of_codes, spec_of_conditions
from training.parallel.mesh import Mesh
from training.recipes.batches import find_codes
from training.recipes.config import TrainingConfig
from training.recipes.given_frames import choose_condition_timestep
from training.recipes.objective import build_condition_timestep_sampler
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
        open_evaluator: The evaluator of a stage, from its settings, its model and its held-out clips.
    """

    validation: Validation[EvaluationResult] | None
    tensorboard: TensorBoard | None
    previews: Previews | None
    open_evaluator: Callable[[TrainingConfig, ModelInfo, LatentShards], Evaluator]

    def begin_stage(self, config: TrainingConfig, info: ModelInfo) -> None:
        """Show the model as a stage trains it: on clips of its sizes, with its given frames and its shift."""
        shards = _held_out(config, info)
        if self.validation is not None and shards is not None:
            self.validation.evaluator = self.open_evaluator(config, info, shards)
        if self.previews is not None:
            _show_stage(self.previews, config, info, shards)

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
    if config.codes:
        raise SettingError(
            "there are no previews of a diffusion decoder",
            remedy="leave preview_interval out, and run evaluate tokenizer DIR --diffusion-decoder",
        )
    check_video_writer()
    if config.preview_prompts:
        read_prompts(config.preview_prompts)
        always = [name for name in config.condition_names if not getattr(config, f"{name}_dropout")]
        if always:
            raise SettingError(
                f"previews of prompts have no {always[0]}, and {always[0]}_dropout is 0: it is always known",
                remedy="leave preview_prompts out: previews then have captions and conditions of held-out"
                f" clips (validation_data); or raise {always[0]}_dropout",
            )
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
        previews = _previews(config, work, mesh, info, trainer, encoder)
        _show_stage(previews, config, info, shards)
        trainer.tasks = [PeriodicTask(config.preview_interval, previews)]
    open_evaluator = partial(_evaluator, mesh, trainer.model, encoder)
    if shards is None or config.distillation:  # the denoising loss of a student says nothing about its videos
        return Monitor(None, tensorboard, previews, open_evaluator)
    logs = None
    if mesh.rank == 0:
        logs = ValidationLogs(work / VALIDATION_FILE, trainer.step, tensorboard, config.quiet)
    evaluator = open_evaluator(config, info, shards)
    validation = Validation(trainer.model, trainer.ema.weights, evaluator, logs)
    if config.validation_interval:
        trainer.tasks = [PeriodicTask(config.validation_interval, validation), *trainer.tasks]
    return Monitor(validation, tensorboard, previews, open_evaluator)


def _held_out(config: TrainingConfig, info: ModelInfo) -> LatentShards | None:
    """The held-out clips of the sizes that are trained; all if none has one; None without any clips."""
    if not config.validation_data:
        return None
    spec = LatentSpec(**dict(info.latents) | {"stride": tuple(info.latents["stride"])})
    open_shards = partial(
        open_latents,
        config.validation_data,
        find_codes(config.codes),
        spec_of_codes(info),
        max_frames=config.max_latent_frames,
        mixed_fps=info.network.base_fps is not None,
        spec=spec,
        views=config.view_names,
    )
    try:
        shards = open_shards(min_area=config.min_latent_area, max_area=config.max_latent_area)
    except LatentMismatchError:
        shards = open_shards()
    shards.normalize = partial(normalize, statistics=info.latent_statistics)
    if conditions := spec_of_conditions(info):
        shards.read_conditions(conditions.names, spec=conditions)
    return shards


def _previews(
    config: TrainingConfig,
    work: Path,
    mesh: Mesh,
    info: ModelInfo,
    trainer: Trainer[LatentBatch],
    encoder: TextEncoder | None,
) -> Previews:
    """Samples previews with the EMA weights of a training. `_show_stage` says of what."""
    assert isinstance(trainer.model, WorldModel)
    return Previews(
        trainer.model,
        trainer.model.denoiser,
        trainer.ema.weights,
        [],
        info.latent_shapes[0],
        info.fps,
        open_tokenizer("", info.latents),
        encoder,
        work / "previews",
        num_inference_steps=config.preview_num_inference_steps,
        latent_statistics=info.latent_statistics,
        rank=mesh.data_rank,
        num_ranks=mesh.num_data_ranks,
        writes=mesh.context_rank == 0,
        device=mesh.device,
    )


def _show_stage(
    previews: Previews, config: TrainingConfig, info: ModelInfo, shards: LatentShards | None
) -> None:
    """Sample previews as `sample` does from the model of a stage."""
    if config.preview_prompts:
        previews.requests = [PreviewRequest(prompt) for prompt in read_prompts(config.preview_prompts)]
    else:
        previews.requests = _requests(config, shards)
    previews.shape, previews.flow_shift = info.latent_shapes[0], info.flow_shift
    previews.distillation = info.distillation
    path = previews.denoiser.path
    previews.condition_timestep = choose_condition_timestep(0.0, info.training, path)
    previews.has_condition_noise = config.condition_timestep_std > 0
    if previews.writes and previews.rank == 0:
        previews.folder.mkdir(parents=True, exist_ok=True)
        prompts = "".join(f"{request.prompt}\n" for request in previews.requests)
        (previews.folder / "prompts.txt").write_text(prompts)


def _requests(config: TrainingConfig, shards: LatentShards | None) -> list[PreviewRequest]:
    """The captions and conditions of some held-out clips, and their first frames if these are trained."""
    assert shards is not None
    gives_frames = len(config.conditional_frames) > 1 and config.conditional_frames[1] > 0
    requests = []
    for batch in EvaluationClips(shards, NUM_PREVIEWS).batches(1):
        (latents,), (caption,) = batch.clips.latents, batch.clips.captions
        first_frame = latents[:, 0] if gives_frames else None
        known = {
            name: getattr(batch.clips.conditioning, name) for name in ("action", "action_mask", "camera")
        }
        conditions = {name: values[0] for name, values in known.items() if values is not None}
        requests.append(PreviewRequest(" ".join(caption.split()), first_frame, conditions))
    return requests


def _evaluator(
    mesh: Mesh,
    model: WorldModel,
    encoder: TextEncoder | None,
    config: TrainingConfig,
    info: ModelInfo,
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
        condition_timestep_sampler=build_condition_timestep_sampler(
            config.path, config.condition_timestep_mean, config.condition_timestep_std
        ),
        code_latents=model.code_latents,
        rank=mesh.data_rank,
        num_ranks=mesh.num_data_ranks,
        reduce_sum=lambda sums: mesh.mean(sums) * mesh.num_data_ranks,
        device=mesh.device,
    )
