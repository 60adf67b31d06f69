"""Progress on the screen: a line every few seconds, with the time left."""

import sys
import time
from typing import TextIO

from training.callback import StepReport
from training.callbacks.loss_curve import add_throughput


class Progress:
    """Prints a line every `interval_s` seconds, one for each skipped step, and one for the last step.

    Args:
        interval_s: Seconds between lines.
        peak_flops: Peak FLOP/s of all devices together; 0 if unknown.
        out: The output; standard error by default.
    """

    def __init__(self, interval_s: float = 5.0, peak_flops: float = 0.0, out: TextIO | None = None) -> None:
        self.interval_s, self.peak_flops, self.out = interval_s, peak_flops, out or sys.stderr
        self._printed_at = -interval_s

    def on_step_end(self, report: StepReport) -> None:
        now = time.monotonic()
        is_skipped = "skipped" in report.metrics
        if report.step < report.total_steps and not is_skipped and now - self._printed_at < self.interval_s:
            return
        self._printed_at = now
        values = add_throughput(report.metrics, self.peak_flops)
        left_s = (report.total_steps - report.step) * values["step_s"]
        mfu = f" · mfu {values['mfu']:.0%}" if "mfu" in values else ""
        memory = f" · {values['peak_memory_gib']:.2f} GiB" if "peak_memory_gib" in values else ""
        loss = f"loss {values['loss']:.4f}" if "loss" in values else "loss not finite"
        norm = f" · grad_norm {values['grad_norm']:.3f}" if "grad_norm" in values else ""
        reward = f" · reward {values['reward']:.4f}" if "reward" in values else ""
        skipped = " · step skipped" if "skipped" in values else ""
        print(
            f"step {report.step}/{report.total_steps} · {loss}{reward}{norm} · lr {values['lr']:.2e}{skipped}"
            f" · {values['samples_per_s']:.1f} clips/s · {values['tokens_per_s']:.0f} tokens/s"
            f" · data wait {values['data_wait_share']:.0%}{mfu}{memory} · {left_s:.0f} s left",
            file=self.out,
            flush=True,
        )
