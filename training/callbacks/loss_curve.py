"""The loss curve: one JSON object per step, in a file that survives kills and resumes."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from training.callback import StepReport
from training.callbacks.json_lines import JsonLines, read_json_lines

TIMING_KEYS = (
    "step_s",
    "samples_per_s",
    "tokens_per_s",
    "data_wait_share",
    "mfu",
    "peak_memory_gib",
)  # differ between equal runs


class LossCurve:
    """Appends a line after each step.

    Args:
        file: Lines of steps after `step` are deleted, because these steps will run again.
        step: The step at which training resumes.
        peak_flops: Peak FLOP/s of all devices together; 0 if unknown.
    """

    def __init__(self, file: Path, step: int = 0, peak_flops: float = 0.0) -> None:
        self.peak_flops, self._lines = peak_flops, JsonLines(file, step)

    def on_step_end(self, report: StepReport) -> None:
        self._lines.append(report.step, add_throughput(report.metrics, self.peak_flops))


def read_loss_curve(file: Path) -> list[dict[str, float]]:
    """Read the lines of a loss curve. A line that a kill left incomplete is ignored."""
    return read_json_lines(file)


def summarize_loss_curve(file: Path) -> tuple[float, float, int]:
    """The mean losses of the first and of the last tenth of the steps, and the number of skipped steps."""
    lines = read_loss_curve(file)
    losses = [line["loss"] for line in lines if "loss" in line] or [math.nan]
    tenth = max(1, math.ceil(len(losses) / 10))
    skipped = sum("skipped" in line for line in lines)
    return sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth, skipped


def read_last_line(file: Path, max_bytes: int = 8192) -> dict[str, float]:
    """Read the last complete line of a loss curve without the others; {} if there is none yet."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - max_bytes))
            lines = opened.read().splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    complete = [line for line in lines if line.startswith(b"{") and line.endswith(b"}\n")]
    last: dict[str, float] = json.loads(complete[-1]) if complete else {}
    return last


def add_throughput(metrics: Mapping[str, float], peak_flops: float = 0.0) -> dict[str, float]:
    """Replace the counts of a step by samples_per_s, tokens_per_s, data_wait_share, peak_memory_gib and mfu.

    mfu is the model FLOPs utilization, 0..1. It is left out if `peak_flops` is 0.
    """
    counts = ("samples", "tokens", "flops", "data_wait_s", "peak_memory_bytes")
    values = {name: value for name, value in metrics.items() if name not in counts}
    seconds = metrics["step_s"]
    values["samples_per_s"] = metrics["samples"] / seconds
    values["tokens_per_s"] = metrics["tokens"] / seconds
    values["data_wait_share"] = min(1.0, metrics["data_wait_s"] / seconds)
    if "peak_memory_bytes" in metrics:
        values["peak_memory_gib"] = metrics["peak_memory_bytes"] / 2**30
    if peak_flops:
        values["mfu"] = metrics["flops"] / seconds / peak_flops
    return {name: float(f"{value:.6g}") if name in TIMING_KEYS else value for name, value in values.items()}
