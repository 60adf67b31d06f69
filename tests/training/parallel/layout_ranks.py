"""Runs on each rank: trains on layouts of the ranks, and compares losses and gradients with one process."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from training.callback import StepReport
from training.data.batches import LatentBatch
from training.diffusion.conditioning import Conditioning
from training.loop.ema import EMA
from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer
from training.networks.config import VideoDiTConfig
from training.networks.initialization import fill_truncated_normal
from training.noise import stream_position
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.recipes.build import build_model, parallelize
from training.recipes.config import TrainingConfig
from training.recipes.objective import build_objective
from training.world_model import WorldModel

BATCH, STEPS = 4, 5
NETWORK = VideoDiTConfig(  # 3 heads and 45 tokens, in rows of 5, do not divide
    num_attention_heads=3,
    attention_head_dim=24,
    num_layers=2,
    channels=4,
    text_embed_dim=24,
    adaln_lora_dim=8,
    extra_pos_embed_type="learnable",
    max_size=(4, 8, 16),
    action_dim=5,
    camera_injection="block",
)
SHAPE = (4, 3, 6, 10)
SETTINGS: dict[str, Any] = {
    "data": (),
    "batch_size": BATCH,
    "conditional_frames": (0.5, 0.5),
    "condition_timestep": 0.1,
    "preconditioning": "velocity",
}


class Batches:
    """Slices of the same clips at each step."""

    waited_s = 0.0

    def __init__(self, data_rank: int, num_data_ranks: int, grad_accum_steps: int) -> None:
        self.slices = torch.arange(BATCH).chunk(num_data_ranks * grad_accum_steps)[data_rank::num_data_ranks]
        rng = torch.Generator().manual_seed(0)
        self.latents = torch.randn(BATCH, *SHAPE, generator=rng)
        self.conditioning = Conditioning(
            action=torch.randn(BATCH, SHAPE[1], 5, generator=rng),
            camera=torch.randn(BATCH, 6, *SHAPE[1:], generator=rng),
        )

    def microbatches(self, step: int) -> Sequence[LatentBatch]:
        return [self._select(rows.tolist(), step) for rows in self.slices]

    def _select(self, rows: list[int], step: int) -> LatentBatch:
        positions = tuple(stream_position(step, row) for row in rows)
        captions = tuple(f"clip {row}" for row in rows)
        conditioning = self.conditioning.map(lambda tensor: tensor[rows])
        return LatentBatch(captions, positions, self.latents[rows], captions, conditioning)

    def sample_ids(self, step: int) -> Sequence[str]:
        return []


class Recorder:
    """Keeps the loss and all gradients of each step."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.losses: list[float] = []
        self.gradients: list[dict[str, Tensor]] = []

    def on_step_end(self, report: StepReport) -> None:
        self.losses.append(report.metrics["loss"])
        self.gradients.append({name: _whole(p.grad) for name, p in self.model.named_parameters()})


class CountReductions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the reductions of gradients over the ranks."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += any(word in str(func) for word in ("reduce_scatter", "allreduce"))
        return func(*args, **(kwargs or {}))


def _whole(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient.clone()


def run(settings: dict[str, Any], mesh: Mesh | None) -> tuple[Recorder, int]:
    """Train; without a mesh in this process alone. The second value counts the reductions of a step."""
    config = TrainingConfig(**SETTINGS, **settings)
    if mesh is None:
        model = WorldModel(NETWORK, config.diffusion, config.text_encoder)
    else:
        model = build_model(config, NETWORK)
        parallelize(model, mesh, config, "fp32")
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.dim() > 1:
                fill_truncated_normal(parameter, name, 1, parameter.shape[1] ** -0.5)
    objective = build_objective(config, model, model.text_encoder, mesh)
    step = OptimizationStep(objective, torch.optim.SGD(model.parameters()), lambda step: 0.1, max_grad_norm=0)
    recorder = Recorder(model)
    ranks = (mesh.data_rank, mesh.num_data_ranks) if mesh else (0, 1)
    trainer = Trainer(
        model=model,
        optimization_steps=[step],
        batches=Batches(*ranks, config.grad_accum_steps),
        reduce_mean=mesh.mean if mesh else lambda values: values,
        count_work=lambda batch: {},
        ema=EMA(model),
        callbacks=[recorder],
        sync_each_batch=config.sync_each_batch,
    )
    trainer.fit(STEPS - 1)
    with CountReductions() as reductions:  # type: ignore[no-untyped-call]
        trainer.fit(STEPS)
    return recorder, reductions.count


def compare(got: Recorder, expected: Recorder) -> None:
    torch.testing.assert_close(got.losses, expected.losses, rtol=1e-5, atol=0)
    for got_step, expected_step in zip(got.gradients, expected.gradients, strict=True):
        for name, gradient in expected_step.items():
            scale = float(gradient.abs().max())
            difference = float((got_step[name] - gradient).abs().max())
            assert scale > 0, name
            assert difference < 1e-5 * max(scale, 1e-2), (name, difference, scale)


with process_group():
    expected, _ = run({}, None)
    reductions = []
    for text in sys.argv[1:]:
        settings = json.loads(text)
        mesh = Mesh(ParallelDims(settings.get("dp_replicate", 1), 0, settings.get("context_parallel", 1)))
        got, count = run(settings, mesh)
        try:
            compare(got, expected)
        except AssertionError as error:
            raise AssertionError(text) from error
        reductions.append(count)
    print(json.dumps(reductions))
