"""Trains an autoregressive world model: from shards of codes to a model file.

`train_autoregressive` is called on every rank: in one process, by torchrun, or by a stage of a DAG.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo, save_token_model
from training.callback import Callback
from training.callbacks.loss_curve import LossCurve, summarize_loss_curve
from training.callbacks.progress import Progress
from training.callbacks.tensorboard import TensorBoard, check_tensorboard
from training.data.batches import LatentBatch
from training.data.shards import LatentShards
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate_tokens import TokenEvaluator
from training.evaluation.token_baselines import Baselines, count_tokens
from training.evaluation.token_result import TokenEvaluationResult
from training.evaluation.validation import Validation, ValidationLogs
from training.loop.checkpoint import CheckpointManager
from training.loop.ema import build_ema
from training.loop.timeouts import set_timeouts
from training.loop.trainer import PeriodicTask, Trainer
from training.model import MODEL_FILE
from training.networks.autoregressive.config import AutoregressiveConfig
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.sharding import resolve_precision
from training.parallel.threads import cpu_threads
from training.parallel.timeouts import Timeouts
from training.recipes.autoregressive.build import (
    PATCH,
    TokenWorkCounter,
    build_model,
    build_optimization_step,
    check_layout,
    check_network,
    choose_network,
    open_codes,
    parallelize,
)
from training.recipes.autoregressive.config import UNRECORDED_SETTINGS, AutoregressiveTrainingConfig
from training.recipes.autoregressive.initial import InitialModel, open_initial_model
from training.recipes.batches import build_batches, check_captions
from training.recipes.build import build_lr, peak_flops
from training.recipes.monitor import CURVE_FILE, VALIDATION_FILE
from training.recipes.pretrained_text import encoder_identity, open_text_encoder, reopen_text_encoder
from training.recipes.record import CHECKPOINT_FOLDER, data_digest, report_changes
from training.text_encoder import TextEncoder


@dataclass(frozen=True)
class AutoregressiveResult:
    """The files and the summary of a training.

    Attributes:
        model: The model file.
        loss_curve: JSON lines, one per step.
        steps: Steps taken.
        loss_first: Mean loss of the first tenth of the steps.
        loss_last: Mean loss of the last tenth of the steps.
        parameters: Number of trained parameters.
        skipped_steps: Steps that were skipped because their loss or gradient was not finite.
        validation: The evaluation on held-out clips; None without any.
    """

    model: Path
    loss_curve: Path
    steps: int
    loss_first: float
    loss_last: float
    parameters: int
    skipped_steps: int
    validation: TokenEvaluationResult | None = None


def train_autoregressive(
    settings: Mapping[str, Any], work: Path, stop_requested: Callable[[], bool] | None = None
) -> AutoregressiveResult:
    """Train until `steps` steps are taken, resuming from the latest checkpoint in `work`, and save the model.

    Args:
        settings: Fields of `AutoregressiveTrainingConfig`.
        work: Folder that all ranks share.
        stop_requested: Whether this rank has been asked to stop; asked after each step.

    Raises:
        StoppedError: A rank was asked to stop; the training can be resumed.
        TrainingError: The settings, the data or the ranks do not fit together.
    """
    initial = open_initial_model(settings.get("init_from", ""), work)
    defaults = {"text_encoder": initial.info.text_encoder["name"]} if initial else {}
    config = AutoregressiveTrainingConfig(**{**defaults, **settings})
    if config.tensorboard:
        check_tensorboard()
    with cpu_threads(config.num_threads), process_group(config.init_timeout_seconds):
        return _train(config, work, initial, stop_requested)


def _train(
    config: AutoregressiveTrainingConfig,
    work: Path,
    initial: InitialModel | None,
    stop_requested: Callable[[], bool] | None,
) -> AutoregressiveResult:
    mesh = Mesh(ParallelDims(dp_replicate=config.dp_replicate))
    check_layout(config, mesh.num_data_ranks)
    build_lr(config)
    shards = open_codes(config)
    check_captions(config, shards)
    held_out = open_codes(config, config.validation_data, shards) if config.validation_data else None
    if initial:
        initial.check_codes(shards.spec)
    network = choose_network(config, shards, initial.info.network if initial else None)
    check_network(config, network, shards)
    model = build_model(config, network)
    encoder = open_text_encoder(config.text_encoder, model, shards)
    info = _info(config, shards, network, encoder)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    precision = resolve_precision(config.precision, mesh.device)
    frequencies = _place(model, config, mesh, shards, initial, precision)
    batches = build_batches(config, mesh, shards, PATCH)
    trainer = Trainer(
        model=model,
        optimization_steps=[build_optimization_step(config, model, encoder, mesh.device)],
        batches=batches,
        reduce_mean=mesh.mean,
        count_work=TokenWorkCounter(network, mesh.num_data_ranks),
        ema=build_ema(model, config.ema, sigma_rel=config.ema_sigma_rel, decay=config.ema_decay),
        checkpoints=_open_checkpoints(config, work, shards, info, initial.digest() if initial else ""),
        checkpoint_interval=config.checkpoint_interval,
        max_skipped_steps=config.max_skipped_steps,
        sync_each_batch=config.sync_each_batch,
        stop_requested=stop_requested,
    )
    trainer.resume()
    model.token_frequencies.copy_(frequencies)  # after a resume, which brings those of the checkpoint
    peak = peak_flops(mesh.device) * mesh.world_size if precision == "bf16" else 0.0
    board = _add_callbacks(trainer, config, work, mesh, peak)
    validation = _add_validation(trainer, config, work, mesh, info, encoder, held_out, board)
    timeouts = Timeouts(mesh, config.init_timeout_seconds, config.train_timeout_seconds)
    set_timeouts(trainer, timeouts)
    report_changes(trainer, quiet=config.quiet or mesh.rank > 0)
    try:
        trainer.fit(config.steps)
        timeouts.lengthen()  # rank 0 writes the model
        result = validation(trainer.step) if validation else None
    finally:
        batches.close()
        if board:
            board.close()
    info = _info(config, shards, network, encoder, trainer.step)
    _save(model, trainer, info, work, mesh)
    first, last, skipped = summarize_loss_curve(work / CURVE_FILE)
    return AutoregressiveResult(
        work / MODEL_FILE, work / CURVE_FILE, trainer.step, first, last, parameters, skipped, result
    )


def _save(
    model: AutoregressiveModel, trainer: Trainer[LatentBatch], info: TokenModelInfo, work: Path, mesh: Mesh
) -> None:
    """Write the model file with the EMA weights."""
    weights = {**trainer.ema.weights, "token_frequencies": model.token_frequencies}
    save_token_model(work / MODEL_FILE, weights, info, is_writer=mesh.rank == 0)


def _place(
    model: AutoregressiveModel,
    config: AutoregressiveTrainingConfig,
    mesh: Mesh,
    shards: LatentShards,
    initial: InitialModel | None,
    precision: str,
) -> Tensor:
    """Shard the model and give it its first weights. Returns the share of each id in the training data."""
    parallelize(model, mesh, config, precision)
    if initial:
        initial.load(model)
    counts = count_tokens(shards, model.network.vocab_size, mesh.data_rank, mesh.num_data_ranks)
    frequencies = mesh.mean(counts.to(mesh.device).double())
    return frequencies / frequencies.sum()


def _info(
    config: AutoregressiveTrainingConfig,
    shards: LatentShards,
    network: AutoregressiveConfig,
    encoder: TextEncoder | None,
    steps: int = 0,
) -> TokenModelInfo:
    by_count = sorted(zip(map(sum, shards.counts), shards.shapes, strict=True), reverse=True)
    left_out = UNRECORDED_SETTINGS | {"model" if config.init_from else "init_from"}
    training = {name: value for name, value in asdict(config).items() if name not in left_out}
    return TokenModelInfo(
        network=network,
        text_encoder={"name": "none"} if encoder is None else dict(encoder.info),
        latents=shards.spec._asdict(),
        fps=shards.fps,
        latent_shapes=[shape for _, shape in by_count],
        training=training | ({"steps": steps} if steps else {}),
    )


def _open_checkpoints(
    config: AutoregressiveTrainingConfig,
    work: Path,
    shards: LatentShards,
    info: TokenModelInfo,
    init_digest: str,
) -> CheckpointManager:
    """Checkpoints whose identity is the model, its initial weights and its codes; the rest may change."""
    metadata = info.to_json()
    identity = {name: metadata[name] for name in ("format", "network", "latents")}
    identity["text_encoder"] = encoder_identity(info.text_encoder)
    if init_digest:
        identity["init_digest"] = init_digest
    settings = {k: v for k, v in asdict(config).items() if k not in UNRECORDED_SETTINGS}
    return CheckpointManager(
        work / CHECKPOINT_FOLDER,
        identity,
        settings | {"data": data_digest(shards)},
        {"model": metadata},
        is_async=config.async_checkpoint,
    )


def _add_callbacks(
    trainer: Trainer[LatentBatch], config: AutoregressiveTrainingConfig, work: Path, mesh: Mesh, peak: float
) -> TensorBoard | None:
    if mesh.rank:
        return None
    callbacks: Sequence[Callback] = [LossCurve(work / CURVE_FILE, trainer.step, peak)]
    board = TensorBoard(work / "tensorboard", trainer.step, peak) if config.tensorboard else None
    callbacks = [*callbacks, *([board] if board else [])]
    trainer.callbacks = callbacks if config.quiet else [*callbacks, Progress(peak_flops=peak)]
    return board


def _add_validation(
    trainer: Trainer[LatentBatch],
    config: AutoregressiveTrainingConfig,
    work: Path,
    mesh: Mesh,
    info: TokenModelInfo,
    encoder: TextEncoder | None,
    held_out: LatentShards | None,
    board: TensorBoard | None,
) -> Validation[TokenEvaluationResult] | None:
    """Evaluates the EMA weights on held-out clips, every `validation_interval` steps; None without any."""
    if held_out is None:
        return None
    model = trainer.model
    assert isinstance(model, AutoregressiveModel)
    if config.text_encoder == "precomputed":
        encoder = reopen_text_encoder("", model, info, held_out)
    evaluator = TokenEvaluator(
        model.network,
        EvaluationClips(held_out, config.validation_max_clips),
        Baselines(model.token_frequencies.cpu()),
        encoder,
        given_frames=config.min_given_frames,
        rank=mesh.data_rank,
        num_ranks=mesh.num_data_ranks,
        reduce_sum=lambda sums: mesh.mean(sums) * mesh.world_size,
        device=mesh.device,
    )
    logs = None
    if mesh.rank == 0:
        logs = ValidationLogs(work / VALIDATION_FILE, trainer.step, board, config.quiet)
    validation = Validation(model, trainer.ema.weights, evaluator, logs)
    if config.validation_interval:
        trainer.tasks = [PeriodicTask(config.validation_interval, validation)]
    return validation
