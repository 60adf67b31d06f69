"""Ends a training at the next step, with a checkpoint, when the system asks for it by a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class StopRequest:
    """Whether this process has been asked to stop.

    Attributes:
        signal: Name of the signal, such as "SIGUSR1"; "" if there was none.
    """

    signal: str = ""

    def __call__(self) -> bool:
        return bool(self.signal)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Record the first SIGUSR1 or SIGTERM instead of ending the process; a second one ends it as usual.

    It must be called in the main thread.
    """
    request = StopRequest()
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number).name
        for each in before:
            signal.signal(each, signal.SIG_DFL if each == signal.SIGTERM else signal.SIG_IGN)

    for each in SIGNALS:
        before[each] = signal.signal(each, handle)
    try:
        yield request
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
