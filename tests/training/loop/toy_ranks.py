"""Run on each of some ranks: train toys, each from its folder's last checkpoint, and print what they said.

toy_ranks.py FOLDER:UNTIL:REPLICATE:PARTS:POISONED …
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.callback import Report
from training.errors import Diverged
from training.loop.checkpoint import Checkpoints
from training.loop.ema import EMA
from training.loop.optimization_step import OptimizationStep
from training.loop.trainer import Trainer
from training.objective import Loss
from training.parallel.mesh import Layout, Mesh, process_group
from training.parallel.sharding import recompute, shard


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
class BatchSource:
    rank: int
    ranks: int
    parts: int
    poisoned: int
    waited_s: float = 0.0

    def at(self, step: int) -> list[torch.Tensor]:
        whole = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        if step == self.poisoned:
            whole[3] = float("nan")
        return [*whole.chunk(self.parts * self.ranks)[self.rank :: self.ranks]]

    def names(self, step: int) -> list[str]:
        return [f"sample-{step}-{n}" for n in range(8)]


@dataclass
class Printed:
    losses: list[float]

    def after_step(self, report: Report) -> None:
        self.losses.append(report.values["loss"])


def train(folder: Path, until: int, replicate: int, parts: int, poisoned: int) -> dict[str, object]:
    torch.manual_seed(0)
    toy, losses = Toy(), Printed([])
    mesh = Mesh(Layout(replicate=replicate))
    recompute(list(toy.blocks))
    shard(toy, list(toy.blocks), mesh, "fp32")

    def objective(x: torch.Tensor, step: int) -> Loss:
        return Loss((toy(x) - x.roll(1, 1)).square().mean(), {"size": x.square().mean()})

    trainer = Trainer(
        model=toy,
        turns=[
            OptimizationStep(objective, torch.optim.AdamW(toy.parameters()), lambda step: 1e-2 / (step + 1))
        ],
        supply=BatchSource(mesh.data_rank, mesh.data_ranks, parts, poisoned),
        mean=mesh.mean,
        cost=lambda x: {"samples": float(len(x) * mesh.data_ranks)},
        average=EMA(toy),
        checkpoints=Checkpoints(folder, {"toy": 1}),
        save_every=3,
        callbacks=[losses],
    )
    trainer.resume()
    try:
        trainer.fit(until)
    except Diverged as error:
        return {"error": str(error)}
    weights = {name: p.full_tensor().detach() for name, p in toy.named_parameters()}
    mean = {name: p.full_tensor() for name, p in trainer.average.weights.items()}
    if mesh.rank == 0:
        torch.save([weights, mean], folder / "weights.pt")
    return {"losses": losses.losses}


with process_group():
    said = []
    for scenario in sys.argv[1:]:
        folder, *numbers = scenario.split(":")
        said.append(train(Path(folder), *map(int, numbers)))
    print(json.dumps(said))
