"""Runs on each rank: trains small models, each from the latest checkpoint in its folder; prints losses.

toy_ranks.py FOLDER:TOTAL_STEPS:DP_REPLICATE:GRAD_ACCUM_STEPS:NAN_STEP[:MAX_SKIPPED_STEPS[:LR]] …

With a last argument kill=FILE, the process kills itself when it opens such a file.
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.callback import StepReport
from training.errors import DivergenceError
from training.loop.checkpoint import CheckpointManager
from training.loop.ema import EMA
from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer
from training.objective import Loss
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.sharding import apply_activation_checkpointing, apply_fsdp


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 5)) for _ in range(2)
        )
        self.last = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        out: torch.Tensor = self.last(x)
        return out


@dataclass
class ToyBatches:
    data_rank: int
    num_data_ranks: int
    grad_accum_steps: int
    nan_step: int
    waited_s: float = 0.0

    def microbatches(self, step: int) -> list[torch.Tensor]:
        whole = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        if step == self.nan_step:
            whole[3] = float("nan")
        slices = whole.chunk(self.grad_accum_steps * self.num_data_ranks)
        return [*slices[self.data_rank :: self.num_data_ranks]]

    def sample_ids(self, step: int) -> list[str]:
        return [f"sample-{step}-{n}" for n in range(8)]


@dataclass
class LossRecorder:
    losses: list[float]
    skipped: list[int]
    metrics: dict[str, float]

    def on_step_end(self, report: StepReport) -> None:
        if "skipped" in report.metrics:
            self.skipped.append(report.step)
        else:
            self.losses.append(report.metrics["loss"])
            self.metrics |= report.metrics


def train(
    folder: Path,
    total_steps: int,
    dp_replicate: int,
    grad_accum_steps: int,
    nan_step: int,
    max_skipped_steps: int = 0,
    lr: float = 1.0,
) -> dict[str, object]:
    torch.manual_seed(0)
    toy, recorder = Toy(), LossRecorder([], [], {})
    mesh = Mesh(ParallelDims(dp_replicate=dp_replicate))
    apply_activation_checkpointing(list(toy.blocks), "full")
    apply_fsdp(toy, list(toy.blocks), mesh, "fp32")

    def objective(x: torch.Tensor, step: int) -> Loss:
        return Loss((toy(x) - x.roll(1, 1)).square().mean(), {"size": x.square().mean()})

    def second_objective(x: torch.Tensor, step: int) -> Loss:
        return Loss(toy(x).abs().mean(), {})

    def schedule(step: int) -> float:
        return lr * 1e-2 / (step + 1)

    first = OptimizationStep(objective, torch.optim.AdamW(toy.parameters()), schedule)
    last = torch.optim.AdamW(toy.last.parameters())
    second = OptimizationStep(second_objective, last, schedule, interval=2, name="second")
    trainer = Trainer(
        model=toy,
        optimization_steps=[first, second],
        batches=ToyBatches(mesh.data_rank, mesh.num_data_ranks, grad_accum_steps, nan_step),
        reduce_mean=mesh.mean,
        count_work=lambda x: {"samples": float(len(x) * mesh.num_data_ranks)},
        ema=EMA(toy),
        checkpoints=CheckpointManager(folder, {"toy": 1}, {"lr": lr}, is_async=True),
        checkpoint_interval=3,
        callbacks=[recorder],
        max_skipped_steps=max_skipped_steps,
    )
    trainer.resume()
    try:
        trainer.fit(total_steps)
    except DivergenceError as error:
        return {"error": str(error)}
    weights = {name: p.full_tensor().detach() for name, p in toy.named_parameters()}
    averaged = {name: p.full_tensor() for name, p in trainer.ema.weights.items()}
    if mesh.rank == 0:
        torch.save([weights, averaged], folder / "weights.pt")
    assert trainer.checkpoints is not None
    return {
        "losses": recorder.losses,
        "skipped": recorder.skipped,
        "metrics": sorted(recorder.metrics),
        "changes": trainer.checkpoints.changes,
    }


def kill_at(file: str) -> None:
    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and file in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


*scenarios, last = sys.argv[1:]
if last.startswith("kill="):
    kill_at(last.removeprefix("kill="))
else:
    scenarios.append(last)
with process_group():
    results = []
    for scenario in scenarios:
        folder, *numbers = scenario.split(":")
        results.append(train(Path(folder), *map(int, numbers[:5]), *map(float, numbers[5:])))  # type: ignore[arg-type]
    print(json.dumps(results))
