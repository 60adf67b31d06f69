"""Progress on the screen: a plain line now and then, with what is left."""

import sys
import time
from typing import TextIO

from training.callback import Report
from training.callbacks.loss_curve import speeds


class Progress:
    """A line per `every_s` seconds, and one for the last step.

    Args:
        every_s: seconds between lines.
        peak_flops: of all devices together, per second; 0 where unknown.
        out: where to; standard error by default.
    """

    def __init__(self, every_s: float = 5.0, peak_flops: float = 0.0, out: TextIO | None = None) -> None:
        self.every_s, self.peak_flops, self.out = every_s, peak_flops, out or sys.stderr
        self._said = -every_s

    def after_step(self, report: Report) -> None:
        now = time.monotonic()
        if report.step < report.until and now - self._said < self.every_s:
            return
        self._said = now
        told = speeds(report.values, self.peak_flops)
        left_s = (report.until - report.step) * told["step_s"]
        mfu = f" · mfu {told['mfu_share']:.0%}" if "mfu_share" in told else ""
        print(
            f"step {report.step}/{report.until} · loss {told['loss']:.4f} · gradient {told['grad_norm']:.3f}"
            f" · rate {told['rate']:.2e} · {told['samples_per_s']:.1f} clips/s · {told['tokens_per_s']:.0f}"
            f" tokens/s · waits {told['wait_share']:.0%}{mfu} · {left_s:.0f} s left",
            file=self.out,
            flush=True,
        )
