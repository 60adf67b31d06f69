"""The loss curve: one JSON object per step, in a file that survives kills and resumes."""

import json
from collections.abc import Mapping
from pathlib import Path

from training.callback import StepReport

TIMING_KEYS = (
    "step_s",
    "samples_per_s",
    "tokens_per_s",
    "data_wait_share",
    "mfu",
)  # differ between equal runs


class LossCurve:
    """Appends a line after each step.

    Args:
        file: Lines of steps after `step` are deleted, because these steps will run again.
        step: The step at which training resumes.
        peak_flops: Peak FLOP/s of all devices together; 0 if unknown.
    """

    def __init__(self, file: Path, step: int = 0, peak_flops: float = 0.0) -> None:
        self.file, self.peak_flops = file, peak_flops
        kept = [line for line in read_loss_curve(file) if line["step"] <= step]
        temporary = file.with_name(file.name + ".new")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        temporary.rename(file)

    def on_step_end(self, report: StepReport) -> None:
        line = {"step": report.step} | add_throughput(report.metrics, self.peak_flops)
        with self.file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")


def read_loss_curve(file: Path) -> list[dict[str, float]]:
    """Read the lines of a loss curve. A line that a kill left incomplete is ignored."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]


def add_throughput(metrics: Mapping[str, float], peak_flops: float = 0.0) -> dict[str, float]:
    """Replace the counts of a step by samples_per_s, tokens_per_s, data_wait_share and mfu.

    mfu is the model FLOPs utilization, 0..1. It is left out if `peak_flops` is 0.
    """
    counts = ("samples", "tokens", "flops", "data_wait_s")
    values = {name: value for name, value in metrics.items() if name not in counts}
    seconds = metrics["step_s"]
    values["samples_per_s"] = metrics["samples"] / seconds
    values["tokens_per_s"] = metrics["tokens"] / seconds
    values["data_wait_share"] = min(1.0, metrics["data_wait_s"] / seconds)
    if peak_flops:
        values["mfu"] = metrics["flops"] / seconds / peak_flops
    return {name: float(f"{value:.6g}") if name in TIMING_KEYS else value for name, value in values.items()}
