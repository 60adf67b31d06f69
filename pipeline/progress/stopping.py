"""Stops a run on SIGTERM and SIGHUP as on Ctrl-C: finished parts are kept, and the lease is released."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.engine.schedule import Schedule
    from pipeline.executor import Observer

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


_received = [signal.SIGINT]  # the signal that stops the run; Ray replaces the exception of a signal handler


def exit_code_of_stop() -> int:
    """The exit code of a command that was stopped: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + _received[0]


@contextmanager
def stopped_by_signals(observer: "Observer") -> "Iterator[Observer]":
    """An observer that calls another one, and sets the signal handlers at each call: Ray replaces them.

    A signal that the process ignores, as SIGHUP under `nohup`, stays ignored.
    """
    _received[0] = signal.SIGINT
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        yield _Stoppable(observer, handled)
    finally:
        for number in handled:
            signal.signal(number, before[number])


class _Stoppable:
    def __init__(self, inner: "Observer", handled: list[signal.Signals]) -> None:
        self.inner, self.handled = inner, handled
        self._set_handlers()

    def observe(self, schedule: "Schedule") -> None:
        self._set_handlers()
        self.inner.observe(schedule)

    def _set_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows it only there
        for number in self.handled:
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        _received[0] = signal.Signals(number)
        raise KeyboardInterrupt(exit_code_of_stop())
