"""The curve holds each step once whatever was killed, and the screen shows what is left."""

import io
from pathlib import Path

from training.callback import Report
from training.callbacks.loss_curve import LossCurve, read_curve
from training.callbacks.progress import Progress

VALUES = {"loss": 0.5, "grad_norm": 2.0, "rate": 1e-3, "step_s": 0.5, "wait_s": 0.1}
COUNTS = {"samples": 4.0, "tokens": 100.0, "flops": 5e11}


def report(step: int, loss: float = 0.5) -> Report:
    return Report(step, 10, VALUES | COUNTS | {"loss": loss})


def test_a_curve_holds_each_step_once(tmp_path: Path) -> None:
    file = tmp_path / "curve.jsonl"
    first = LossCurve(file)
    for step in (1, 2, 3):
        first.after_step(report(step))
    with file.open("a") as opened:
        opened.write('{"step": 4, "lo')  # killed while writing
    again = LossCurve(file, step=2, peak_flops=1e13)
    again.after_step(report(3, loss=0.4))
    lines = read_curve(file)
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.5), (3, 0.4)]
    assert lines[2]["samples_per_s"] == 8
    assert lines[2]["tokens_per_s"] == 200
    assert lines[2]["wait_share"] == 0.2
    assert lines[2]["mfu_share"] == 0.1
    assert "mfu_share" not in lines[0]


def test_progress_shows_the_last_step_and_what_is_left() -> None:
    out = io.StringIO()
    progress = Progress(every_s=3600, peak_flops=1e13, out=out)
    for step in (1, 2, 10):
        progress.after_step(report(step))
    first, last = out.getvalue().splitlines()
    assert first.startswith("step 1/10 · loss 0.5000")
    assert "mfu 10%" in first
    assert first.endswith("4 s left")
    assert last.startswith("step 10/10")
