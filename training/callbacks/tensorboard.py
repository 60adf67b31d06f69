"""Event files for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.callback import StepReport
from training.callbacks.loss_curve import add_throughput
from training.errors import TrainingError


class TensorBoard:
    """Writes the metrics of each step, and other values, as scalars.

    Args:
        folder: Folder of the event files.
        step: The step at which training resumes. Values of later steps, from before, are not shown.
        peak_flops: Peak FLOP/s of all devices together; 0 if unknown.

    Raises:
        TrainingError: The package tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int = 0, peak_flops: float = 0.0) -> None:
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.peak_flops = peak_flops
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def on_step_end(self, report: StepReport) -> None:
        self.add(report.step, add_throughput(report.metrics, self.peak_flops))

    def add(self, step: int, values: Mapping[str, float], prefix: str = "") -> None:
        """Write values of a step under their names."""
        for name, value in values.items():
            self._writer.add_scalar(prefix + name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def check_tensorboard() -> None:
    """Raise a TrainingError if the package tensorboard is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "event files for TensorBoard need the package tensorboard", remedy="pip install tensorboard"
        ) from error
