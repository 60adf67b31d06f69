"""Trains a video tokenizer: from videos or arrays of frames to a file of weights.

`train_tokenizer` is called on every rank: in one process, or by torchrun.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from training.callback import Callback
from training.callbacks.json_lines import JsonLines, read_json_lines
from training.callbacks.loss_curve import LossCurve
from training.callbacks.progress import Progress
from training.callbacks.tensorboard import TensorBoard, check_tensorboard
from training.errors import CheckpointError
from training.evaluation.tokenizer_quality import measure_video
from training.evaluation.video_frames import read_frames, split_frames
from training.loop.checkpoint import CheckpointManager
from training.loop.ema import build_ema
from training.loop.trainer import PeriodicTask, Trainer
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.sharding import apply_fsdp, resolve_precision
from training.parallel.threads import cpu_threads
from training.recipes.record import report_changes
from training.recipes.tokenizer.batches import CropBatches, open_crops
from training.recipes.tokenizer.config import EXECUTION_SETTINGS, NETWORK_SETTINGS, TokenizerConfig
from training.recipes.tokenizer.frames import prepare_frames
from training.recipes.tokenizer.network import TokenizerModel, build_model, measure_latents, sample_crops
from training.recipes.tokenizer.objective import build_optimization_steps
from training.tokenizers import tokenizer_digest
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.crops import CropBatch, RandomCrops
from training.tokenizers.weights import (
    TOKENIZER_FILE,
    build_tokenizer,
    find_weights,
    read_metadata,
    save_weights,
)

CHECKPOINT_FOLDER, CURVE_FILE, VALIDATION_FILE = "checkpoints", "curve.jsonl", "validation.jsonl"
VIEWS = {"128px": (128, 33, 2), "360px": (360, 17, 1)}  # short side in px, frames, source frames per frame
FORMAT = 1  # of checkpoints


@dataclass(frozen=True)
class TokenizerResult:
    """The files and the summary of a training.

    Attributes:
        tokenizer: The file of weights, which `load_tokenizer` reads.
        loss_curve: JSON lines, one per step.
        steps: Steps taken.
        parameters: Parameters of the tokenizer.
        validation: "psnr_db" and "ssim" of the held-out videos in each view; empty without any.
    """

    tokenizer: Path
    loss_curve: Path
    steps: int
    parameters: int
    validation: dict[str, dict[str, float]]


def train_tokenizer(
    settings: Mapping[str, Any], work: Path, stop_requested: Callable[[], bool] | None = None
) -> TokenizerResult:
    """Train until `steps` steps are taken, resuming from the latest checkpoint in `work`, and save weights.

    Args:
        settings: Fields of `TokenizerConfig`.
        work: Folder that all ranks share.
        stop_requested: Whether this rank has been asked to stop; asked after each step.

    Raises:
        StoppedError: A rank was asked to stop; the training can be resumed.
        TrainingError: The settings, the data or the ranks do not fit together.
    """
    config = TokenizerConfig(**settings)
    if config.tensorboard:
        check_tensorboard()
    with cpu_threads(config.num_threads), process_group(config.init_timeout_seconds):
        return _train(config, work, stop_requested)


def _train(config: TokenizerConfig, work: Path, stop_requested: Callable[[], bool] | None) -> TokenizerResult:
    mesh = Mesh(ParallelDims(dp_replicate=config.dp_replicate))
    precision = resolve_precision(config.precision, mesh.device)
    frames = prepare_frames(config, config.data, work / "frames")
    held_out = None
    if config.validation_data:
        held_out = prepare_frames(config, config.validation_data, work / "validation-frames")
    videos = open_crops(config, frames, config.frames)
    images = open_crops(config, frames, 1) if config.image_share else videos
    model = build_model(config, videos)
    parameters = sum(p.numel() for p in model.tokenizer.parameters())
    model.to(mesh.device)
    for network in model.children():
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()  # FSDP shards no other layout
        apply_fsdp(network, [], mesh, "fp32")
    batches = CropBatches(
        videos,
        images,
        config.image_share,
        config.batch_size,
        mesh.rank,
        mesh.world_size,
        config.grad_accum_steps,
        mesh.device,
        config.num_workers,
    )
    trainer = Trainer(
        model=model,
        optimization_steps=build_optimization_steps(config, model, mesh.device, precision),
        batches=batches,
        reduce_mean=mesh.mean,
        count_work=_WorkCounter(model.tokenizer, mesh.world_size),
        ema=build_ema(model.tokenizer, config.ema, sigma_rel=config.ema_sigma_rel, decay=config.ema_decay),
        checkpoints=_open_checkpoints(config, work, model, frames),
        checkpoint_interval=config.checkpoint_interval,
        max_skipped_steps=config.max_skipped_steps,
        stop_requested=stop_requested,
    )
    trainer.resume()
    report_changes(trainer, quiet=config.quiet or mesh.rank > 0)
    export = _Export(trainer, config, work, mesh, videos, frames, held_out)
    board = _add_callbacks(trainer, config, work, mesh)
    if config.validation_interval:
        trainer.tasks = [PeriodicTask(config.validation_interval, export)]
    try:
        trainer.fit(config.steps)
    finally:
        batches.close()
        if board is not None:
            board.close()
    validation = export(trainer.step)
    return TokenizerResult(work / TOKENIZER_FILE, work / CURVE_FILE, trainer.step, parameters, validation)


class _Export:
    """Writes the EMA weights of the tokenizer, with an evaluation on held-out videos. All ranks call it."""

    def __init__(
        self,
        trainer: Trainer[CropBatch],
        config: TokenizerConfig,
        work: Path,
        mesh: Mesh,
        crops: RandomCrops,
        frames: Path,
        held_out: Path | None,
    ) -> None:
        self.trainer, self.config, self.work, self.mesh = trainer, config, work, mesh
        self.crops, self.frames, self.held_out = crops, frames, held_out
        self.lines = JsonLines(work / VALIDATION_FILE, trainer.step) if mesh.rank == 0 else None
        logged = read_json_lines(work / VALIDATION_FILE) if mesh.rank == 0 else []
        self._logged_step = int(logged[-1]["step"]) if logged else 0
        self._last: tuple[int, dict[str, dict[str, float]]] | None = None

    def __call__(self, step: int) -> dict[str, dict[str, float]]:
        if self._last is not None and self._last[0] == step:
            return self._last[1]
        model = self.trainer.model
        assert isinstance(model, TokenizerModel)
        averaged = _averaged_tokenizer(model.tokenizer, self.trainer.ema.weights)
        scores = evaluate_reconstruction(averaged, self.held_out, self.mesh) if self.held_out else {}
        if self.mesh.rank == 0:
            measure_latents(averaged, sample_crops(self.config, self.crops))
            save_weights(averaged, self.work / TOKENIZER_FILE, self._record(step, scores))
        if self.lines is not None and scores and step > self._logged_step:
            self.lines.append(step, scores)
            if not self.config.quiet:
                text = [f"{v} {s['psnr_db']:.2f} dB, SSIM {s['ssim']:.4f}" for v, s in scores.items()]
                print(f"validation at step {step}: {' · '.join(text)}", file=sys.stderr, flush=True)
        self._last = step, scores
        return scores

    def _record(self, step: int, scores: Mapping[str, Any]) -> dict[str, Any]:
        """How the tokenizer was trained, for the metadata of its file."""
        settings = {k: v for k, v in asdict(self.config).items() if k not in EXECUTION_SETTINGS}
        if self.config.init_from:
            settings = {k: v for k, v in settings.items() if k not in NETWORK_SETTINGS}
        for name in ("vgg_weights", "raft_weights", "init_from"):
            settings[name] = Path(settings[name]).name  # without its folder, which may be private
        return {
            "data": _names(self.frames),
            "held_out": _names(self.held_out) if self.held_out else [],
            "settings": settings,
            "steps": step,
            "results": scores,
            "device": self.mesh.device.type,
            "ranks": self.mesh.world_size,
            "torch": torch.__version__,
            "before": _record_of(self.config.init_from),
        }


class _WorkCounter:
    """Counts the crops and the latents of a microbatch, over all ranks."""

    def __init__(self, tokenizer: CausalTokenizer, num_ranks: int) -> None:
        self.stride, self.num_ranks = tokenizer.stride, num_ranks

    def __call__(self, batch: CropBatch) -> dict[str, float]:
        b, _, t, h, w = batch.videos.shape
        latents = (1 + (t - 1) // self.stride.time) * (h // self.stride.height) * (w // self.stride.width)
        return {"samples": float(b * self.num_ranks), "tokens": float(b * latents * self.num_ranks)}


def evaluate_reconstruction(
    tokenizer: CausalTokenizer, folder: Path, mesh: Mesh | None = None
) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) and SSIM over the arrays of a folder, in each view. Each rank evaluates some of them."""
    rank, num_ranks = (0, 1) if mesh is None else (mesh.rank, mesh.world_size)
    results: dict[str, dict[str, float]] = {}
    time, *size_multiple = tokenizer.stride
    for name, (short_side, frames, frame_step) in VIEWS.items():
        sums = torch.zeros(3, dtype=torch.float64)
        for file in sorted(folder.glob("*.npy"))[rank::num_ranks]:
            images = read_frames(file, short_side, (size_multiple[0], size_multiple[1]))
            parts = split_frames(islice(images, 0, None, frame_step), time, frames)
            quality, _ = measure_video(tokenizer, parts)
            sums += torch.tensor((quality.psnr_db, quality.ssim, 1.0), dtype=torch.float64)
        sums = sums if mesh is None else mesh.mean(sums)
        psnr_db, similarity = (sums[:2] / sums[2]).tolist()
        results[name] = {"psnr_db": round(psnr_db, 2), "ssim": round(similarity, 4)}
    return results


def _averaged_tokenizer(tokenizer: CausalTokenizer, weights: Mapping[str, torch.Tensor]) -> CausalTokenizer:
    """A copy on the CPU with the EMA weights."""
    averaged = build_tokenizer(
        tokenizer.class_name, tokenizer.config_dict(), normalized_frames=tokenizer.latent_mean.shape[1]
    )
    state = tokenizer.state_dict() | dict(weights)
    full = {k: (v.full_tensor() if isinstance(v, DTensor) else v).cpu() for k, v in state.items()}
    averaged.load_state_dict(full)
    return averaged.eval().requires_grad_(False)


def _open_checkpoints(
    config: TokenizerConfig, work: Path, model: TokenizerModel, frames: Path
) -> CheckpointManager:
    tokenizer = model.tokenizer
    identity: dict[str, Any] = {
        "format": FORMAT,
        "class": tokenizer.class_name,
        "config": tokenizer.config_dict(),
        "discriminator_channels": config.discriminator_channels if config.adversarial_weight else 0,
        "init_digest": tokenizer_digest(config.init_from) if config.init_from else "",
    }
    settings = {k: v for k, v in asdict(config).items() if k not in EXECUTION_SETTINGS | {"init_from"}}
    sizes = [(path.name, path.stat().st_size) for path in sorted(frames.glob("*.npy"))]
    settings["data"] = hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    return CheckpointManager(work / CHECKPOINT_FOLDER, identity, settings, is_async=config.async_checkpoint)


def _add_callbacks(
    trainer: Trainer[CropBatch], config: TokenizerConfig, work: Path, mesh: Mesh
) -> TensorBoard | None:
    if mesh.rank:
        return None
    callbacks: list[Callback] = [LossCurve(work / CURVE_FILE, trainer.step)]
    board = TensorBoard(work / "tensorboard", trainer.step) if config.tensorboard else None
    callbacks += [board] if board else []
    trainer.callbacks = callbacks if config.quiet else [*callbacks, Progress()]
    return board


def _record_of(name_or_path: str) -> dict[str, Any] | None:
    """How the tokenizer that the training starts from was trained, if it says so."""
    if not name_or_path:
        return None
    try:
        path = find_weights(name_or_path)
        record: dict[str, Any] = read_metadata(path.read_bytes(), path)["trained"]
    except CheckpointError:  # a folder of diffusers
        return None
    return record


def _names(folder: Path) -> list[str]:
    """The names of the videos whose frames a folder has."""
    return sorted({path.name.rsplit(".", 2)[0] for path in folder.glob("*.npy")})
