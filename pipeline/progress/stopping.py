"""Stops a run on SIGTERM and SIGHUP as on Ctrl-C: finished parts are kept, and the lease is released."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.engine.schedule import Schedule
    from pipeline.executor import Observer

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], object]


_received = [signal.SIGINT]  # the signal that stops the run; Ray replaces the exception of a signal handler


def exit_code_of_stop() -> int:
    """The exit code of a command that was stopped: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + _received[0]


@contextmanager
def exits_on_signals() -> Iterator[None]:
    """On a signal, end the process at once, with one line: a command that has not begun keeps nothing.

    An exception could be lost in the imports of libraries.
    """
    with _handling((signal.SIGINT, *_SIGNALS), _exit):
        yield


def ignore_signals() -> None:
    """Ignore these signals from now on: the command has ended, and Python only has to exit.

    A signal in this time would replace the exit code of the command.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *_SIGNALS):
            signal.signal(number, signal.SIG_IGN)


def _exit(number: int, _: FrameType | None) -> None:
    os.write(2, b"stopped\n")
    os._exit(128 + number)


@contextmanager
def _handling(signals: Iterable[signal.Signals], handler: Handler) -> Iterator[list[signal.Signals]]:
    """Handle signals that the process does not ignore, in the main thread. Gives these signals."""
    if threading.current_thread() is not threading.main_thread():
        yield []  # Python allows it only there
        return
    before = {number: signal.getsignal(number) for number in signals}
    handled = [number for number, found in before.items() if found is not signal.SIG_IGN]
    try:
        for number in handled:
            signal.signal(number, handler)
        yield handled
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def stopped_by_signals(observer: "Observer") -> "Iterator[Observer]":
    """An observer that calls another one, and sets the signal handlers at each call: Ray replaces them.

    A signal that the process ignores, as SIGHUP under `nohup`, stays ignored.
    """
    _received[0] = signal.SIGINT
    with _handling([signal.SIGINT], signal.default_int_handler), _handling(_SIGNALS, _stop) as handled:
        yield _Stoppable(observer, handled)


class _Stoppable:
    def __init__(self, inner: "Observer", handled: list[signal.Signals]) -> None:
        self.inner, self.handled = inner, handled

    def observe(self, schedule: "Schedule") -> None:
        self._set_handlers()
        self.inner.observe(schedule)

    def _set_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows it only there
        for number in self.handled:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    _received[0] = signal.Signals(number)
    raise KeyboardInterrupt(exit_code_of_stop())
