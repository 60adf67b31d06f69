"""The training loop, independent of what is trained and of the number of ranks."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from training.callback import Callback, StepReport
from training.errors import CheckpointError, DivergenceError, StoppedError
from training.loop.checkpoint import CheckpointManager
from training.loop.ema import EMA
from training.loop.memory import peak_memory_bytes
from training.loop.optimization_step import OptimizationStep
from training.parallel.sharding import reshard, set_gradient_sync

TRAINED_ONLY = StateDictOptions(ignore_frozen_params=True, strict=False)
Batch = TypeVar("Batch")
SourceBatch = TypeVar("SourceBatch", covariant=True)


class BatchSource(Protocol[SourceBatch]):
    """A source of batches, which are a pure function of the step."""

    waited_s: float  # seconds spent waiting for data so far

    def microbatches(self, step: int) -> Sequence[SourceBatch]:
        """The microbatches of this rank at a step. Their gradients are accumulated."""
        ...

    def sample_ids(self, step: int) -> Sequence[str]:
        """The ids of the samples of a step, over all ranks, for error messages."""
        ...


@dataclass(frozen=True)
class PeriodicTask:
    """Runs on all ranks after each `interval` steps, before the checkpoint; it must not change the training.

    Attributes:
        interval: Steps between two runs.
        run: Called with the number of steps taken.
    """

    interval: int
    run: Callable[[int], object]


@dataclass
class Trainer(Generic[Batch]):
    """Trains a model and saves checkpoints. Every rank has the same trainer.

    Attributes:
        model: Contains every parameter that an optimization step changes. If it is to be sharded, it must be
            sharded already.
        optimization_steps: Run one after another on the batch of each training step.
        batches: The source of the batches.
        reduce_mean: The mean of a tensor over all ranks.
        count_work: The "samples", "tokens" and "flops" of a microbatch, over all ranks.
        ema: EMA of the weights of the model, updated after each step.
        checkpoints: Where the state is saved; None saves none.
        checkpoint_interval: Steps between checkpoints. The last step is always saved.
        callbacks: Called after each step. Empty on all ranks except rank 0.
        tasks: Such as validation. They run on all ranks.
        before_step: Called on all ranks with the microbatches of a step before they are computed.
        sync_each_batch: Reduce the gradients over the ranks after each microbatch, and not once per step.
        max_skipped_steps: Consecutive steps whose loss or gradient is not finite that are skipped.
        labels: Values that the metrics of each step also have.
        total_steps: Steps of the whole training, for callbacks, if `fit` runs a part of them.
        stop_requested: Whether this rank has been asked to stop; asked after each step.
        step: Steps taken so far.
    """

    model: nn.Module
    optimization_steps: Sequence[OptimizationStep[Batch]]
    batches: BatchSource[Batch]
    reduce_mean: Callable[[Tensor], Tensor]
    count_work: Callable[[Batch], Mapping[str, float]]
    ema: EMA
    checkpoints: CheckpointManager | None = None
    checkpoint_interval: int = 1000
    callbacks: Sequence[Callback] = field(default_factory=list)
    tasks: Sequence[PeriodicTask] = field(default_factory=list)
    before_step: Callable[[Sequence[Batch]], object] = lambda microbatches: None
    max_skipped_steps: int = 0
    sync_each_batch: bool = False
    labels: Mapping[str, float] = field(default_factory=dict)
    total_steps: int = 0
    stop_requested: Callable[[], bool] | None = None
    step: int = 0

    def __post_init__(self) -> None:
        names = [each.name for each in self.optimization_steps]
        if len(set(names)) < len(names):
            raise ValueError(f"optimization steps need different names, not {names}")
        self._skipped_in_a_row = 0
        self._is_checkpoint_due = False
        for each in self.optimization_steps:
            if each.first_step:  # PyTorch creates the state at the first checkpoint, and counts it as a step
                get_optimizer_state_dict(self.model, each.optimizer)

    def fit(self, total_steps: int) -> None:
        """Train until `total_steps` steps are taken; do nothing if they are.

        A step whose loss or gradient is not finite changes nothing, and its metrics have "skipped". A
        checkpoint that is due then is written after the next step that is not skipped, because the weights
        may have diverged already. When this returns, the checkpoint of the last step is written.

        Raises:
            StoppedError: A rank was asked to stop; the checkpoint of this step is saved.
            DivergenceError: More than `max_skipped_steps` consecutive steps were skipped. The last checkpoint
                remains.
            CheckpointError: A checkpoint cannot be written; older ones remain.
        """
        try:
            self._fit(total_steps)
        finally:
            if self.checkpoints:
                self.checkpoints.close()

    def _fit(self, total_steps: int) -> None:
        while self.step < total_steps:
            started, waited = time.perf_counter(), self.batches.waited_s
            microbatches = self.batches.microbatches(self.step)
            self.before_step(microbatches)
            metrics = dict(self.labels)
            for optimization_step in self.optimization_steps:
                for _ in range(optimization_step.updates if optimization_step.runs_at(self.step) else 0):
                    metrics |= self._optimize(optimization_step, microbatches)
            reshard(self.model)
            self._count_skipped(metrics)
            self.step += 1
            self.ema.update(self.step)
            for microbatch in microbatches:
                for name, count in self.count_work(microbatch).items():
                    metrics[name] = metrics.get(name, 0.0) + count
            metrics["step_s"] = time.perf_counter() - started
            metrics["data_wait_s"] = self.batches.waited_s - waited
            metrics["peak_memory_bytes"] = peak_memory_bytes()
            for callback in self.callbacks:
                callback.on_step_end(StepReport(self.step, max(total_steps, self.total_steps), metrics))
            for task in self.tasks:
                if self.step % task.interval == 0:
                    task.run(self.step)
            is_stopping = self.step < total_steps and self._is_stopping()
            is_ending = is_stopping or self.step == total_steps
            self._is_checkpoint_due |= self.step % self.checkpoint_interval == 0
            if self.checkpoints:
                self.checkpoints.poll()
                if is_ending or (self._is_checkpoint_due and not self._skipped_in_a_row):
                    self.checkpoints.save(self.step, self.state())
                    self._is_checkpoint_due = False
                if is_ending:
                    self.checkpoints.wait()
            if is_stopping:
                raise StoppedError(
                    f"the training was asked to stop, and saved a checkpoint at step {self.step}",
                    remedy="run the same command again to resume",
                )

    def _is_stopping(self) -> bool:
        """Whether any rank has been asked to stop; the same answer on all ranks."""
        if self.stop_requested is None:
            return False
        return bool(self.reduce_mean(torch.tensor(float(self.stop_requested()))) > 0)

    def _count_skipped(self, metrics: Mapping[str, float]) -> None:
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if "skipped" in metrics else 0
        if self._skipped_in_a_row > self.max_skipped_steps:
            clips = ", ".join(self.batches.sample_ids(self.step))
            raise DivergenceError(
                f"at step {self.step} the loss or the gradient is not finite"
                + (f", as in the {self.max_skipped_steps} steps before" if self.max_skipped_steps else ""),
                where=f"clips {clips}",
                remedy="run again with a lower lr, a longer warmup, or a higher max_skipped_steps, or with"
                " these clips left out (skip_samples, for latents); the training goes on from"
                f" {self._last_checkpoint()}",
            )

    def _last_checkpoint(self) -> str:
        """The last checkpoint in words, after the one in progress is written."""
        with suppress(CheckpointError):
            if self.checkpoints:
                self.checkpoints.wait()
        step = self.checkpoints.latest_step() if self.checkpoints else None
        return "its start" if step is None else f"its checkpoint of step {step}"

    def state(self) -> dict[str, Any]:
        """All that changes the following steps, by parameter names, so it fits any number of ranks.

        Frozen parameters are not in it: who builds the model gives them their values.
        """
        average = self.ema.state_dict()
        return {
            "model": get_model_state_dict(self.model, options=TRAINED_ONLY),
            "optimizers": [
                get_optimizer_state_dict(self.model, each.optimizer) for each in self.optimization_steps
            ],
        } | ({"ema": average} if average else {})

    def resume(self) -> None:
        """Load the latest checkpoint, if there is one."""
        if self.checkpoints is None or (step := self.checkpoints.latest_step()) is None:
            return
        state = self.state()
        self.checkpoints.load(step, state, optional={"ema"})
        configured = [_group_settings(each.optimizer) for each in self.optimization_steps]
        set_model_state_dict(self.model, state["model"], options=TRAINED_ONLY)
        for each, optimizer_state in zip(self.optimization_steps, state["optimizers"], strict=True):
            set_optimizer_state_dict(self.model, each.optimizer, optimizer_state)
        for each, settings in zip(self.optimization_steps, configured, strict=True):
            for group, values in zip(each.optimizer.param_groups, settings, strict=True):
                group |= values
        self.ema.load_state_dict(state.get("ema", {}))
        self.step = step

    def _optimize(
        self, optimization_step: OptimizationStep[Batch], microbatches: Sequence[Batch]
    ) -> dict[str, float]:
        """Accumulate the gradients of the microbatches, clip them, and update the parameters."""
        lr = optimization_step.lr(self.step)
        for group in optimization_step.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        optimization_step.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, list[Tensor]] = {}
        groups: dict[str, list[Tensor]] = {}
        for number, microbatch in enumerate(microbatches, 1):
            set_gradient_sync(self.model, self.sync_each_batch or number == len(microbatches))
            loss = optimization_step.objective(microbatch, self.step)
            (loss.total / len(microbatches)).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": loss.total, **loss.parts}.items():
                losses.setdefault(name, []).append(value.detach().float())
            for name, pair in loss.groups.items():
                groups.setdefault(name, []).append(pair.detach().float())
        values = [torch.stack(each).mean()[None] for each in losses.values()]
        values += [torch.stack(each).mean(0) for each in groups.values()]
        means = self.reduce_mean(torch.cat(values)).tolist()
        metrics = dict(zip(losses, means[: len(losses)], strict=True))
        for number, name in enumerate(groups):
            total, count = means[len(losses) + 2 * number :][:2]
            metrics |= {name: total / count} if count else {}
        metrics["grad_norm"] = clip_gradients(optimization_step.optimizer, optimization_step.max_grad_norm)
        prefix = f"{optimization_step.name}/" if optimization_step.name else ""
        finite = {prefix + name: value for name, value in metrics.items() if math.isfinite(value)}
        if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])):
            return finite | {prefix + "lr": lr, "skipped": 1.0}
        optimization_step.optimizer.step()
        return finite | {prefix + "lr": lr}


def _group_settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The settings of each parameter group, such as the weight decay."""
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def clip_gradients(optimizer: torch.optim.Optimizer, max_norm: float) -> float:
    """Clip the gradients of the parameters of `optimizer` in place; 0 clips none.

    Returns:
        The norm of the whole gradient over all ranks, before clipping.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    if max_norm:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)
