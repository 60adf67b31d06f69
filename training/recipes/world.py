"""Trains a video diffusion model: from shards of latents to a model file.

`train` is called on every rank: in one process, by torchrun, or by a `Launch` stage of a DAG.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training.adapters.merged_lora import merge_lora
from training.callbacks.loss_curve import summarize_loss_curve
from training.data.batches import LatentBatch
from training.data.latent_statistics import AUTO, compute_statistics_once
from training.evaluation.result import EvaluationResult
from training.loop.checkpoint import latest_step
from training.loop.ema import build_ema
from training.loop.timeouts import set_timeouts
from training.loop.trainer import Trainer
from training.model import MODEL_FILE, save_model
from training.networks.registry import find_config
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.sharding import resolve_precision
from training.parallel.threads import cpu_threads
from training.parallel.timeouts import Timeouts
from training.recipes.batches import build_batches
from training.recipes.build import (
    build_lr,
    build_model,
    build_optimization_step,
    load_initial,
    parallelize,
    peak_flops,
    trained_parameters,
)
from training.recipes.choose_network import choose_network
from training.recipes.code_residual import open_code_latents, read_residual_std
from training.recipes.config import TrainingConfig
from training.recipes.count_work import WorkCounter
from training.recipes.initial_weights import InitialWeights, open_initial_weights
from training.recipes.layout import check_layout
from training.recipes.monitor import CURVE_FILE, add_monitor, check_monitor
from training.recipes.post_training.reward import open_reward
from training.recipes.pretrained_text import open_text_encoder
from training.recipes.record import CHECKPOINT_FOLDER, model_info, open_checkpoints, report_changes
from training.recipes.stage_runner import StageRunner
from training.recipes.stages import open_stages, read_conditions_of, read_text_of, stage_at

STATISTICS_FILE = "latent_statistics.json"


@dataclass(frozen=True)
class TrainingResult:
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
    validation: EvaluationResult | None = None


def train(
    settings: Mapping[str, Any], work: Path, stop_requested: Callable[[], bool] | None = None
) -> TrainingResult:
    """Train until `steps` steps are taken, resuming from the latest checkpoint in `work`, and save the model.

    Args:
        settings: Fields of `TrainingConfig`.
        work: Folder that all ranks share.
        stop_requested: Whether this rank has been asked to stop; asked after each step.

    Raises:
        StoppedError: A rank was asked to stop; the training can be resumed.
        TrainingError: The settings, the data or the ranks do not fit together.
    """
    initial = open_initial_weights(settings, work)
    defaults = initial.defaults_for(settings) if initial else {}
    config = TrainingConfig(**{**defaults, **settings})
    check_monitor(config)
    with cpu_threads(config.num_threads), process_group(config.init_timeout_seconds):
        if initial and not config.quiet:
            initial.report(defaults)
        return _train(config, work, initial, stop_requested)


def _train(
    config: TrainingConfig,
    work: Path,
    initial: InitialWeights | None,
    stop_requested: Callable[[], bool] | None,
) -> TrainingResult:
    mesh = Mesh(ParallelDims(dp_replicate=config.dp_replicate, context_parallel=config.context_parallel))
    if config.latent_statistics == AUTO:
        statistics = compute_statistics_once(config.data, work / STATISTICS_FILE, config.view_names)
        config = replace(config, latent_statistics=statistics)
    base_fps = (initial.network if initial else find_config(config.model)).base_fps
    stages = open_stages(config, mixed_fps=base_fps is not None)
    stage = stage_at(stages, latest_step(work / CHECKPOINT_FOLDER) or 0)
    read_conditions_of(stages)
    std = () if initial else read_residual_std(config, stage.shards, work, mesh.device)
    network, init_digest = choose_network(config, stage.shards, initial, std)
    for each in stages:
        check_layout(each.config, mesh.num_data_ranks, each.shards.shapes, network)
        build_lr(each.config)
    precision = resolve_precision(config.precision, mesh.device)
    model = build_model(config, network)
    read_text_of(stages)
    encoder = open_text_encoder(config.text_encoder, model, stage.shards)
    info = model_info(stage.config, stage.shards, network, encoder)
    parameters = sum(parameter.numel() for _, parameter in trained_parameters(config, model))
    model.code_latents = open_code_latents(info, mesh.device, config.code_tokenizer)
    parallelize(model, mesh, config, precision)
    model.reward = open_reward(config, info)
    load_initial(model, initial, config, mesh, precision)
    defaults = initial.defaults if initial else {}
    checkpoints = open_checkpoints(stage.config, work, stage.shards, info, init_digest, defaults)
    trainer = Trainer(
        model=model,
        optimization_steps=[build_optimization_step(stage.config, model, encoder, mesh)],
        batches=build_batches(stage.config, mesh, stage.shards),
        reduce_mean=mesh.mean,
        count_work=WorkCounter(model.network, mesh.num_data_ranks),
        ema=build_ema(model, config.ema, sigma_rel=config.ema_sigma_rel, decay=config.ema_decay),
        checkpoints=checkpoints,
        sync_each_batch=config.sync_each_batch,
        stop_requested=stop_requested,
    )
    trainer.resume()
    peak = peak_flops(mesh.device) * mesh.world_size if precision == "bf16" else 0.0
    monitor = add_monitor(trainer, stage.config, work, mesh, info, encoder, peak)
    timeouts = Timeouts(mesh, config.init_timeout_seconds, config.train_timeout_seconds)
    set_timeouts(trainer, timeouts)
    report_changes(trainer, quiet=config.quiet or mesh.rank > 0)
    try:
        StageRunner(trainer, checkpoints, model, network, encoder, mesh, timeouts, monitor).fit(stages)
        timeouts.lengthen()  # rank 0 writes the model, and some ranks wait for previews
        validation = monitor.validation(trainer.step) if monitor.validation else None
    finally:
        monitor.close()
    info = model_info(stages[-1].config, stages[-1].shards, network, encoder)
    info = replace(info, training={**info.training, "steps": trainer.step})
    save_model(work / MODEL_FILE, _weights_of(trainer, config), info, is_writer=mesh.rank == 0)
    return _result(work, trainer.step, parameters, validation)


def _weights_of(trainer: Trainer[LatentBatch], config: TrainingConfig) -> Mapping[str, torch.Tensor]:
    """The EMA weights of the model, with adapters merged into them."""
    weights = {k: v for k, v in trainer.ema.weights.items() if not k.startswith("uncertainty.")}
    return merge_lora(weights, config.lora_scale) if config.lora_rank else weights


def _result(work: Path, steps: int, parameters: int, validation: EvaluationResult | None) -> TrainingResult:
    first, last, skipped = summarize_loss_curve(work / CURVE_FILE)
    return TrainingResult(
        model=work / MODEL_FILE,
        loss_curve=work / CURVE_FILE,
        steps=steps,
        loss_first=first,
        loss_last=last,
        parameters=parameters,
        skipped_steps=skipped,
        validation=validation,
    )
