"""Validation during a training: the EMA weights on held-out clips, on all ranks."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from training.callbacks.json_lines import JsonLines
from training.callbacks.tensorboard import TensorBoard


class HeldOutResult(Protocol):
    """The result of an evaluation of any model."""

    @property
    def clips(self) -> int: ...
    def summary(self) -> str:
        """The result in one line."""
        ...

    def details(self) -> Sequence[str]:
        """What the line in the progress also says."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        ...


Result = TypeVar("Result", bound=HeldOutResult)


class Validation(Generic[Result]):
    """Evaluates a model in training. All ranks call it.

    Args:
        model: The model, sharded or not.
        weights: The weights to evaluate, by parameter name; those of the model come back after it.
        evaluator: Evaluates the model.
        logs: Where rank 0 writes results; None on the other ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        evaluator: Callable[[], Result],
        logs: "ValidationLogs | None",
    ) -> None:
        self.model, self.weights, self.evaluator, self.logs = model, weights, evaluator, logs
        self._last: tuple[int, Result] | None = None

    def __call__(self, step: int) -> Result:
        """The evaluation after `step` steps; the second call at a step returns the result of the first."""
        if self._last is not None and self._last[0] == step:
            return self._last[1]
        with temporary_weights(self.model, self.weights):
            result = self.evaluator()
        self._last = step, result
        if self.logs is not None:
            self.logs.write(step, result)
        return result


class ValidationLogs:
    """Writes results to a file, to the screen and to TensorBoard.

    Args:
        file: JSON lines, one per evaluation. Lines of steps after `step` are deleted.
        step: The step at which training resumes.
        tensorboard: Event files, or None.
        quiet: Print nothing.
    """

    def __init__(
        self, file: Path, step: int = 0, tensorboard: TensorBoard | None = None, quiet: bool = False
    ) -> None:
        self._lines, self._tensorboard, self._quiet = JsonLines(file, step), tensorboard, quiet

    def write(self, step: int, result: HeldOutResult) -> None:
        values = result.to_json()
        self._lines.append(step, values)
        if self._tensorboard is not None:
            self._tensorboard.add(step, _flat(values), "validation/")
        if not self._quiet:
            text = [f"validation at step {step} of {result.clips} clips", result.summary()]
            print(" · ".join([*text, *result.details()]), file=sys.stderr, flush=True)


@contextmanager
def temporary_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Give a model other weights, and afterwards its own ones again, bit for bit.

    Args:
        model: The model. If it is sharded, so are the weights.
        weights: The values by parameter name.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        own = {name: parameters[name].detach().clone() for name in weights}
        try:
            for name, value in weights.items():
                parameters[name].copy_(value)
            yield
        finally:
            for name, value in own.items():
                parameters[name].copy_(value)
            for module in model.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()  # some keep the gathered weights after a forward pass


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Values of dictionaries under names with a slash; without lists."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{key}": each for key, each in value.items()}
        elif not isinstance(value, list | tuple):
            flat[name] = value
    return flat
