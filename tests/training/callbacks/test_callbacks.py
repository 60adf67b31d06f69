"""The loss curve contains each step once, even after a kill, and progress lines show the time left."""

import io
from pathlib import Path

from training.callback import StepReport
from training.callbacks.loss_curve import LossCurve, read_loss_curve
from training.callbacks.progress import Progress

METRICS = {"loss": 0.5, "grad_norm": 2.0, "lr": 1e-3, "step_s": 0.5, "data_wait_s": 0.1}
COUNTS = {"samples": 4.0, "tokens": 100.0, "flops": 5e11}


def report(step: int, loss: float = 0.5) -> StepReport:
    return StepReport(step, 10, METRICS | COUNTS | {"loss": loss})


def test_a_loss_curve_contains_each_step_once(tmp_path: Path) -> None:
    file = tmp_path / "curve.jsonl"
    first = LossCurve(file)
    for step in (1, 2, 3):
        first.on_step_end(report(step))
    with file.open("a") as opened:
        opened.write('{"step": 4, "lo')  # killed while writing
    resumed = LossCurve(file, step=2, peak_flops=1e13)
    resumed.on_step_end(report(3, loss=0.4))
    lines = read_loss_curve(file)
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.5), (3, 0.4)]
    assert lines[2]["samples_per_s"] == 8
    assert lines[2]["tokens_per_s"] == 200
    assert lines[2]["data_wait_share"] == 0.2
    assert lines[2]["mfu"] == 0.1
    assert "mfu" not in lines[0]


def test_progress_shows_the_last_step_and_the_time_left() -> None:
    out = io.StringIO()
    progress = Progress(interval_s=3600, peak_flops=1e13, out=out)
    for step in (1, 2, 10):
        progress.on_step_end(report(step))
    first, last = out.getvalue().splitlines()
    assert first.startswith("step 1/10 · loss 0.5000")
    assert "mfu 10%" in first
    assert first.endswith("4 s left")
    assert last.startswith("step 10/10")
