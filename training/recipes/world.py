"""Trains a video diffusion model: from shards of latents to a model file.

`train` is called on every rank: in one process, by torchrun, or by a `Launch` stage of a DAG.
"""

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from training.callbacks.loss_curve import LossCurve, read_loss_curve
from training.callbacks.progress import Progress
from training.data.batches import BatchLoader, LatentBatch
from training.data.find_shards import read_sample_ids
from training.data.order import SampleOrder
from training.data.shards import LatentShards
from training.loop.checkpoint import CheckpointManager
from training.loop.ema import EMA
from training.loop.lr_schedule import lr_schedule
from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer
from training.model import MODEL_FILE, ModelInfo, save_model
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.networks.video_dit import VideoDiT
from training.parallel.context import apply_context_parallel
from training.parallel.mesh import Mesh, ParallelDims, local_device, process_group
from training.parallel.sharding import apply_activation_checkpointing, apply_fsdp, resolve_precision
from training.recipes.config import EXECUTION_SETTINGS, TrainingConfig
from training.recipes.evaluation import EvaluationResult, evaluate
from training.recipes.initial_weights import InitialWeights, open_initial_weights
from training.recipes.layout import check_layout
from training.recipes.objective import build_objective
from training.recipes.pretrained_text import encoder_identity, open_text_encoder
from training.text_encoder import TextEncoder
from training.world_model import WorldModel

PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
}  # dense bf16 FLOP/s per device, as published


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
        validation: The evaluation on held-out clips; None without any, and on ranks other than 0.
    """

    model: Path
    loss_curve: Path
    steps: int
    loss_first: float
    loss_last: float
    parameters: int
    skipped_steps: int
    validation: EvaluationResult | None = None


def train(settings: Mapping[str, Any], work: Path) -> TrainingResult:
    """Train until `steps` steps are taken, resuming from the latest checkpoint in `work`, and save the model.

    Args:
        settings: Fields of `TrainingConfig`.
        work: Folder that all ranks share.

    Raises:
        TrainingError: The settings, the data or the ranks do not fit together.
    """
    initial = open_initial_weights(settings, work)
    config = TrainingConfig(**{**(initial.defaults if initial else {}), **settings})
    num_threads = torch.get_num_threads()
    torch.set_num_threads(config.num_threads)
    try:
        with process_group():
            result, is_first = _train(config, work, initial), dist.get_rank() == 0
        if not config.validation_data or not is_first:
            return result
        validation = evaluate(
            result.model, config.validation_data, num_threads=config.num_threads, device=local_device()
        )
        return replace(result, validation=validation)
    finally:
        torch.set_num_threads(num_threads)


def _train(config: TrainingConfig, work: Path, initial: InitialWeights | None) -> TrainingResult:
    mesh = Mesh(ParallelDims(dp_replicate=config.dp_replicate, context_parallel=config.context_parallel))
    base_fps = (initial.network if initial else MODEL_CONFIGS[config.model]).base_fps
    shards = LatentShards(config.data, max_frames=config.max_latent_frames, mixed_fps=base_fps is not None)
    network, init_digest = _network(config, shards, initial)
    check_layout(config, mesh.num_data_ranks, shards.shapes, network)
    precision = resolve_precision(config.precision, mesh.device)
    model = build_model(config, network).to(mesh.device)
    encoder = open_text_encoder(config.text_encoder, model)
    info = _model_info(config, shards, network, encoder)
    parameters = sum(p.numel() for p in model.parameters())
    parallelize(model, mesh, config, precision)
    if initial:
        initial.load(model)
    batches = _batches(config, mesh, shards)
    trainer = Trainer(
        model=model,
        optimization_steps=[_optimization_step(config, model, encoder, mesh)],
        batches=batches,
        reduce_mean=mesh.mean,
        count_work=lambda batch: _count_work(model.network, batch, mesh.num_data_ranks),
        ema=EMA(model, config.ema_sigma_rel),
        checkpoints=_checkpoints(config, work, shards, info, init_digest),
        checkpoint_interval=config.checkpoint_interval,
        max_skipped_steps=config.max_skipped_steps,
    )
    trainer.resume()
    curve = work / "curve.jsonl"
    if mesh.rank == 0:
        peak = peak_flops(mesh.device) * mesh.world_size if precision == "bf16" else 0.0
        progress = [] if config.quiet else [Progress(peak_flops=peak)]
        trainer.callbacks = [LossCurve(curve, trainer.step, peak), *progress]
        _report_changes(trainer, quiet=config.quiet)
    try:
        trainer.fit(config.steps)
    finally:
        batches.close()
    weights = {name: _full_tensor(p) for name, p in trainer.ema.weights.items()}
    if mesh.rank == 0:
        training = {**info.training, "steps": trainer.step}
        save_model(work / MODEL_FILE, weights, replace(info, training=training))
    lines = read_loss_curve(curve)
    losses = [line["loss"] for line in lines if "loss" in line] or [math.nan]
    tenth = max(1, math.ceil(len(losses) / 10))
    return TrainingResult(
        model=work / MODEL_FILE,
        loss_curve=curve,
        steps=trainer.step,
        loss_first=sum(losses[:tenth]) / tenth,
        loss_last=sum(losses[-tenth:]) / tenth,
        parameters=parameters,
        skipped_steps=sum("skipped" in line for line in lines),
    )


def _network(
    config: TrainingConfig, shards: LatentShards, initial: InitialWeights | None
) -> tuple[VideoDiTConfig, str]:
    """The config of the network, and the digest of its initial weights; "" if they are random."""
    if initial is None:
        return replace(MODEL_CONFIGS[config.model], channels=shards.spec.channels), ""
    initial.check_latents(shards.spec)
    return initial.network, initial.digest()


def build_model(config: TrainingConfig, network: VideoDiTConfig) -> WorldModel:
    """Build the model with new weights, which depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        return WorldModel(network, config.diffusion, config.text_encoder, config.seed)


def parallelize(model: WorldModel, mesh: Mesh, config: TrainingConfig, precision: str) -> None:
    """Distribute the model over the mesh, in place."""
    network = model.network
    blocks: list[nn.Module] = list(network.transformer_blocks)
    if mesh.dims.context_parallel > 1:
        apply_context_parallel(network, mesh.context_group)
    if config.activation_checkpointing:
        apply_activation_checkpointing(blocks)
    apply_fsdp(network, blocks, mesh, precision)
    if model.text_encoder is not None:
        apply_fsdp(model.text_encoder, [], mesh, precision)


def peak_flops(device: torch.device) -> float:
    """Peak bf16 FLOP/s of one device; 0 if unknown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for known, peak in PEAK_FLOPS.items() if known in name), 0.0)


def _optimization_step(
    config: TrainingConfig, model: WorldModel, encoder: TextEncoder | None, mesh: Mesh
) -> OptimizationStep[LatentBatch]:
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=mesh.device.type == "cuda",
    )
    lr = lr_schedule(
        config.lr, warmup_steps=config.warmup_steps, decay=config.lr_schedule, total_steps=config.steps
    )
    return OptimizationStep(build_objective(config, model, encoder), optimizer, lr)


def _batches(config: TrainingConfig, mesh: Mesh, shards: LatentShards) -> BatchLoader:
    skipped = read_sample_ids(Path(config.skip_samples)) if config.skip_samples else frozenset[str]()
    return BatchLoader(
        shards,
        SampleOrder(shards.counts, config.batch_size, config.seed),
        mesh.data_rank,
        mesh.num_data_ranks,
        config.grad_accum_steps,
        mesh.device,
        skipped,
    )


def _checkpoints(
    config: TrainingConfig, work: Path, shards: LatentShards, info: ModelInfo, init_digest: str
) -> CheckpointManager:
    """Checkpoints whose identity is the model, its initial weights and its latents; the rest may change."""
    metadata = info.to_json()
    identity = {name: metadata[name] for name in ("format", "network", "diffusion", "latents")}
    identity["text_encoder"] = encoder_identity(info.text_encoder)
    if init_digest:
        identity["init_digest"] = init_digest
    settings = {k: v for k, v in asdict(config).items() if k not in EXECUTION_SETTINGS}
    return CheckpointManager(
        work / "checkpoints", identity, settings | {"data": _data_digest(shards)}, {"model": metadata}
    )


def _report_changes(trainer: Trainer[LatentBatch], *, quiet: bool) -> None:
    """Print the step at which a training resumes, and the settings that changed since its checkpoint."""
    if quiet or trainer.checkpoints is None or not trainer.step:
        return
    changes = trainer.checkpoints.changes
    text = ", ".join(f"{name} {new} (was {old})" for name, (old, new) in changes.items())
    print(f"resuming at step {trainer.step}" + (f" with {text}" if text else ""), file=sys.stderr)


def _model_info(
    config: TrainingConfig, shards: LatentShards, network: VideoDiTConfig, encoder: TextEncoder | None
) -> ModelInfo:
    by_count = sorted(zip(map(sum, shards.counts), shards.shapes, strict=True), reverse=True)
    excluded = EXECUTION_SETTINGS | ({"steps"} if config.lr_schedule == "constant" else set())
    excluded = excluded | {"model" if config.init_from else "init_from"}
    return ModelInfo(
        network=network,
        diffusion=config.diffusion,
        text_encoder={"name": "none"} if encoder is None else dict(encoder.info),
        flow_shift=config.flow_shift,
        latents=shards.spec._asdict(),
        fps=shards.fps,
        latent_shapes=[shape for _, shape in by_count],
        training={name: value for name, value in asdict(config).items() if name not in excluded},
    )


def _count_work(network: VideoDiT, batch: LatentBatch, num_data_ranks: int) -> dict[str, float]:
    """The work of one microbatch on all ranks. A backward pass costs two forward passes."""
    shape = tuple(batch.latents.shape)
    tokens = math.prod(network.grid(shape)) * shape[0]
    counts = {"samples": shape[0], "tokens": tokens, "flops": 3 * network.flops(shape)}
    return {name: float(count * num_data_ranks) for name, count in counts.items()}


def _data_digest(shards: LatentShards) -> str:
    """Identifies the training data, independent of its location."""
    contents = [
        (shard.tar.rsplit("/", 2)[1:], shard.spec, shard.shape, shard.samples)
        for bucket in shards.buckets
        for shard in bucket
    ]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def _full_tensor(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight
