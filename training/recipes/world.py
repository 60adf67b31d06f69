"""Rectified flow on a video diffusion transformer: from shards of latents to a model file.

The same entry serves one process, torchrun, and a launch from a DAG: `run` is called on every rank.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from training.callbacks.loss_curve import LossCurve, read_curve
from training.callbacks.progress import Progress
from training.data.batches import Batches, Clips
from training.data.order import Order
from training.data.shards import LatentShards
from training.denoiser import VelocityDenoiser
from training.errors import LayoutError, TrainingError
from training.loop.checkpoint import Checkpoints
from training.loop.ema import EMA
from training.loop.lr_schedule import rates
from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer
from training.model import NAME, ModelInfo, save_model
from training.networks.text_tokens import read_words
from training.networks.video_dit import SIZES, VideoDiT
from training.objectives.denoising import Denoising, TimestepSampler
from training.parallel.context import share_context
from training.parallel.mesh import Layout, Mesh, process_group
from training.parallel.sharding import chosen_precision, recompute, shard
from training.path import RectifiedFlow

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
}  # dense bf16, per second, as published


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """All that may be turned.

    Attributes:
        data: (tar, index) of each shard.
        steps: to take in all.
        size: of the network, a name of `video_dit.SIZES`.
        batch: clips per step, over all ranks.
        rate, warmup, shape: peak learning rate, steps to reach it, and "constant" or "cosine" after it.
        decay: weight decay.
        shift: how far times lean towards the noise; more suits larger latents.
        seed: of weights, order, times and noise.
        latent_frames: longer clips are cropped to these; 0 crops none.
        average_share: width of the weights' average as a share of the steps.
        accumulate: slices that a rank's share of the batch is worked on in.
        replicate, context: copies of the model, and ranks that share a clip; the rest shards.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        recompute: trade time for memory in the backward pass.
        save_every: steps between checkpoints.
        threads: of the CPU, per rank.
        quiet: no lines on the screen.
    """

    data: Sequence[tuple[str, str]]
    steps: int = 200
    size: str = "tiny"
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 20
    shape: str = "constant"
    decay: float = 0.01
    shift: float = 1.0
    seed: int = 0
    latent_frames: int = 0
    average_share: float = 0.1
    accumulate: int = 1
    replicate: int = 1
    context: int = 1
    precision: str = "auto"
    recompute: bool = False
    save_every: int = 100
    threads: int = 2
    quiet: bool = False


# Knobs that say where and how, not what: a training may go on with others.
FREE = {"data", "accumulate", "replicate", "context", "recompute", "save_every", "threads", "quiet"}


@dataclass(frozen=True)
class Summary:
    """What a training left behind. Losses are means over the first and the last tenth of the steps."""

    model: Path
    curve: Path
    steps: int
    loss_first: float
    loss_last: float
    parameters: int


def run(arguments: Mapping[str, Any], work: Path) -> Summary:
    """Train up to the step that was asked for, from where `work` stands, and write the model there.

    Args:
        arguments: fields of `Knobs`.
        work: a folder that all ranks share.

    Raises:
        TrainingError: the knobs, the data or the ranks do not fit.
    """
    knobs = Knobs(**arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(knobs.threads)
    try:
        with process_group():
            return _run(knobs, work)
    finally:
        torch.set_num_threads(threads)


def _run(knobs: Knobs, work: Path) -> Summary:
    mesh = Mesh(Layout(replicate=knobs.replicate, context=knobs.context))
    shards = LatentShards(knobs.data, frames=knobs.latent_frames)
    order = Order(shards.counts, knobs.batch, knobs.seed)
    _check(knobs, mesh, shards)
    precision = chosen_precision(knobs.precision, mesh.device)
    network = build(knobs, shards.made.channels).to(mesh.device)
    told = _told(knobs, shards, network)
    parameters = sum(p.numel() for p in network.parameters())
    parallelise(network, mesh, knobs, precision)
    supply = Batches(shards, order, mesh.data_rank, mesh.data_ranks, knobs.accumulate, mesh.device)
    trainer = Trainer(
        model=network,
        turns=[_turn(knobs, network, mesh)],
        supply=supply,
        mean=mesh.mean,
        cost=lambda clips: _cost(network, clips, mesh.data_ranks),
        average=EMA(network, knobs.average_share),
        checkpoints=Checkpoints(work / "checkpoints", told.to_json() | {"data": _digest(shards)}),
        save_every=knobs.save_every,
    )
    trainer.resume()
    curve = work / "curve.jsonl"
    if mesh.rank == 0:
        peak = peak_flops(mesh.device) * mesh.world if precision == "bf16" else 0.0
        shown = [] if knobs.quiet else [Progress(peak_flops=peak)]
        trainer.callbacks = [LossCurve(curve, trainer.step, peak), *shown]
    try:
        trainer.fit(knobs.steps)
    finally:
        supply.close()
    weights = {name: _whole(p) for name, p in trainer.average.weights.items()}
    if mesh.rank == 0:
        taken = {**told.trained, "steps": trainer.step}
        save_model(work / NAME, weights, replace(told, trained=taken))
    losses = [line["loss"] for line in read_curve(curve)]
    tenth = max(1, math.ceil(len(losses) / 10))
    return Summary(
        model=work / NAME,
        curve=curve,
        steps=trainer.step,
        loss_first=sum(losses[:tenth]) / tenth,
        loss_last=sum(losses[-tenth:]) / tenth,
        parameters=parameters,
    )


def build(knobs: Knobs, channels: int) -> VideoDiT:
    """The network with fresh weights, which depend on the seed alone.

    Raises:
        TrainingError: there is no such size.
    """
    if knobs.size not in SIZES:
        raise TrainingError(f"there is no size {knobs.size!r}", remedy=f"choose of {', '.join(SIZES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(knobs.seed)
        return VideoDiT(replace(SIZES[knobs.size], channels=channels))


def parallelise(network: VideoDiT, mesh: Mesh, knobs: Knobs, precision: str) -> None:
    """Lay the network over the mesh, in place."""
    blocks: list[nn.Module] = list(network.transformer_blocks)
    if mesh.layout.context > 1:
        share_context(network, mesh.context_group)
    if knobs.recompute:
        recompute(blocks)
    shard(network, blocks, mesh, precision)


def peak_flops(device: torch.device) -> float:
    """What one device can do in bf16 per second; 0 where it is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for known, peak in PEAKS.items() if known in name), 0.0)


def _check(knobs: Knobs, mesh: Mesh, shards: LatentShards) -> None:
    """Refuse what cannot be, before anything is built."""
    if knobs.steps < 1 or knobs.save_every < 1 or knobs.accumulate < 1:
        raise TrainingError("steps, save_every and accumulate are at least 1")
    parts = mesh.data_ranks * knobs.accumulate
    if knobs.batch % parts:
        raise LayoutError(
            f"a batch of {knobs.batch} clips cannot be shared equally by {mesh.data_ranks} ranks"
            + (f" in {knobs.accumulate} slices" if knobs.accumulate > 1 else ""),
            remedy=f"choose a batch that {parts} divides",
        )
    for _, t, h, w in shards.shapes:
        if h % 2 or w % 2:
            raise LayoutError(f"latents of {h} x {w} cannot be cut into patches of 2 x 2")
        if (tokens := t * h * w // 4) % mesh.layout.context:
            raise LayoutError(
                f"{tokens} tokens of a clip cannot be shared equally by {mesh.layout.context} ranks",
                remedy="choose latent_frames so that they can, or another context",
            )
    if knobs.size in SIZES and SIZES[knobs.size].heads % mesh.layout.context:
        raise LayoutError(f"{SIZES[knobs.size].heads} heads cannot be shared by {mesh.layout.context} ranks")


def _turn(knobs: Knobs, network: VideoDiT, mesh: Mesh) -> OptimizationStep[Clips]:
    denoising = Denoising(
        VelocityDenoiser(network),
        RectifiedFlow(),
        read_words,
        TimestepSampler(shift=knobs.shift),
        seed=knobs.seed,
    )
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=knobs.rate,
        betas=(0.9, 0.99),
        weight_decay=knobs.decay,
        fused=mesh.device.type == "cuda",
    )
    rate = rates(knobs.rate, warmup=knobs.warmup, shape=knobs.shape, until=knobs.steps)
    return OptimizationStep(denoising, optimizer, rate)


def _told(knobs: Knobs, shards: LatentShards, network: VideoDiT) -> ModelInfo:
    by_count = sorted(zip(map(sum, shards.counts), shards.shapes, strict=True), reverse=True)
    free = FREE | ({"steps"} if knobs.shape == "constant" else set())
    return ModelInfo(
        network=network.config,
        latents=shards.made._asdict(),
        fps=shards.fps,
        shapes=[shape for _, shape in by_count],
        trained={name: value for name, value in asdict(knobs).items() if name not in free},
    )


def _cost(network: VideoDiT, clips: Clips, data_ranks: int) -> dict[str, float]:
    """Of one slice on all ranks: a backward pass is twice a forward pass."""
    shape = tuple(clips.latents.shape)
    tokens = math.prod(network.grid(shape)) * shape[0]
    counts = {"samples": shape[0], "tokens": tokens, "flops": 3 * network.flops(shape)}
    return {name: float(count * data_ranks) for name, count in counts.items()}


def _digest(shards: LatentShards) -> str:
    """Names what is trained on, wherever it lies."""
    held = [
        (shard.tar.rsplit("/", 2)[1:], shard.made, shard.shape, shard.samples)
        for bucket in shards.buckets
        for shard in bucket
    ]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight
