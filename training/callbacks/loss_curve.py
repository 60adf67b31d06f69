"""The curve of a training: one JSON object per step, in a file that survives kills and resumes."""

import json
from collections.abc import Mapping
from pathlib import Path

from training.callback import Report

MEASURED = ("step_s", "samples_per_s", "tokens_per_s", "wait_share", "mfu_share")  # differ from run to run


class LossCurve:
    """Appends a line per step.

    Args:
        file: lines of steps after `step` are taken away, since they will be taken again.
        step: where the training goes on.
        peak_flops: of all devices together, per second; 0 where unknown.
    """

    def __init__(self, file: Path, step: int = 0, peak_flops: float = 0.0) -> None:
        self.file, self.peak_flops = file, peak_flops
        kept = [line for line in read_curve(file) if line["step"] <= step]
        beside = file.with_name(file.name + ".new")
        beside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        beside.rename(file)

    def after_step(self, report: Report) -> None:
        with self.file.open("a") as opened:
            opened.write(json.dumps({"step": report.step} | speeds(report.values, self.peak_flops)) + "\n")


def read_curve(file: Path) -> list[dict[str, float]]:
    """The lines of a curve; a line that a kill cut short is left out."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]


def speeds(values: Mapping[str, float], peak_flops: float = 0.0) -> dict[str, float]:
    """What was reported of a step, with its counts as rates: per second, and as shares."""
    counts = ("samples", "tokens", "flops", "wait_s")
    told = {name: value for name, value in values.items() if name not in counts}
    seconds = values["step_s"]
    told["samples_per_s"] = values["samples"] / seconds
    told["tokens_per_s"] = values["tokens"] / seconds
    told["wait_share"] = min(1.0, values["wait_s"] / seconds)
    if peak_flops:
        told["mfu_share"] = values["flops"] / seconds / peak_flops
    return {name: float(f"{value:.6g}") if name in MEASURED else value for name, value in told.items()}
