"""Stops a run on SIGTERM and SIGHUP as on Ctrl-C: finished parts are kept, and the lease is released."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.engine.schedule import Schedule
    from pipeline.executor import Observer

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal stops the run.

    Attributes:
        exit_code: 128 and the number of the signal, as a shell reports it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """The exit code of a command that was stopped: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return stop.exit_code if isinstance(stop, Stopped) else 128 + signal.SIGINT


@contextmanager
def stopped_by_signals(observer: "Observer") -> "Iterator[Observer]":
    """An observer that calls another one, and sets the signal handlers at each call: Ray replaces them.

    A signal that the process ignores, as SIGHUP under `nohup`, stays ignored.
    """
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
        for number in self.handled:
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        raise Stopped(number)
