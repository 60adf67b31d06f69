"""The loop: batches in, steps out. Nothing here knows what is trained, or on how many ranks."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from training.callback import Callback, Report
from training.errors import Diverged
from training.loop.checkpoint import Checkpoints
from training.loop.ema import EMA
from training.loop.optimization_step import OptimizationStep

Batch = TypeVar("Batch")
Given = TypeVar("Given", covariant=True)


class BatchSource(Protocol[Given]):
    """Where batches come from: a pure function of the step."""

    waited_s: float

    def at(self, step: int) -> Sequence[Given]:
        """This rank's slices of the step's batch, worked on one after another."""
        ...

    def names(self, step: int) -> Sequence[str]:
        """What is in the step's batch, over all ranks: for errors."""
        ...


@dataclass
class Trainer(Generic[Batch]):
    """Takes steps, and remembers them in checkpoints. The same on every rank.

    Attributes:
        model: every parameter that any turn changes; sharded already, if it is to be.
        turns: taken one after another on each step's batch.
        supply: the batches.
        mean: the mean of a tensor over all ranks.
        cost: what a slice costs: its "samples", "tokens" and "flops", over all ranks.
        average: of the model's weights, kept as the training goes on.
        checkpoints: where the state is kept; None keeps none.
        save_every: steps between checkpoints; the last step is always kept.
        callbacks: told after each step; empty on all ranks but the first.
        step: steps taken so far.
    """

    model: nn.Module
    turns: Sequence[OptimizationStep[Batch]]
    supply: BatchSource[Batch]
    mean: Callable[[Tensor], Tensor]
    cost: Callable[[Batch], Mapping[str, float]]
    average: EMA
    checkpoints: Checkpoints | None = None
    save_every: int = 1000
    callbacks: Sequence[Callback] = field(default_factory=list)
    step: int = 0

    def fit(self, until: int) -> None:
        """Train up to step `until`; nothing to do if it is there already.

        Raises:
            Diverged: a loss or a gradient is not finite; the last checkpoint stands.
        """
        while self.step < until:
            started, waited = time.perf_counter(), self.supply.waited_s
            slices = self.supply.at(self.step)
            values: dict[str, float] = {}
            for turn in self.turns:
                if self.step % turn.every == 0:
                    values |= self._take(turn, slices)
            self.step += 1
            self.average.after_step(self.step)
            for part in slices:
                for name, count in self.cost(part).items():
                    values[name] = values.get(name, 0.0) + count
            values["step_s"] = time.perf_counter() - started
            values["wait_s"] = self.supply.waited_s - waited
            for watcher in self.callbacks:
                watcher.after_step(Report(self.step, until, values))
            if self.checkpoints and (self.step % self.save_every == 0 or self.step == until):
                self.checkpoints.save(self.step, self.state())

    def state(self) -> dict[str, Any]:
        """All that decides the steps to come, by parameter names, so that it fits any layout of ranks."""
        return {
            "model": get_model_state_dict(self.model),
            "optimizers": [get_optimizer_state_dict(self.model, turn.optimizer) for turn in self.turns],
            "average": self.average.state_dict(),
        }

    def resume(self) -> None:
        """Go on from the latest checkpoint, if there is one."""
        if self.checkpoints is None or (step := self.checkpoints.latest()) is None:
            return
        state = self.state()
        self.checkpoints.load(step, state)
        set_model_state_dict(self.model, state["model"])
        for turn, held in zip(self.turns, state["optimizers"], strict=True):
            set_optimizer_state_dict(self.model, turn.optimizer, held)
        self.average.load_state_dict(state["average"])
        self.step = step

    def _take(self, turn: OptimizationStep[Batch], slices: Sequence[Batch]) -> dict[str, float]:
        rate = turn.rate(self.step)
        for group in turn.optimizer.param_groups:
            group["lr"] = rate
        turn.optimizer.zero_grad(set_to_none=True)
        seen: dict[str, list[Tensor]] = {}
        for part in slices:
            loss = turn.objective(part, self.step)
            (loss.total / len(slices)).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": loss.total, **loss.parts}.items():
                seen.setdefault(name, []).append(value.detach().float())
        means = self.mean(torch.stack([torch.stack(each).mean() for each in seen.values()]))
        values = dict(zip(seen, means.tolist(), strict=True))
        norm = self._shortened(turn)
        if not math.isfinite(values["loss"]) or not math.isfinite(norm):
            raise Diverged(
                f"at step {self.step} the loss is {values['loss']:g} and the gradient's norm {norm:g}",
                where=f"clips {', '.join(self.supply.names(self.step))}",
                remedy="lower the rate, lengthen the warm-up, or look at these clips; run again to go on",
            )
        turn.optimizer.step()
        return values | {"grad_norm": norm, "rate": rate}

    def _shortened(self, turn: OptimizationStep[Batch]) -> float:
        """The norm of the whole gradient, which is then shortened if it is longer than the turn wants."""
        held = [p for group in turn.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in held])
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if turn.clip:
            torch.nn.utils.clip_grads_with_norm_(held, turn.clip, norm)
        return float(norm)
