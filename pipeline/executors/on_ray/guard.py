"""Runs work that uses Ray in a thread, so that this process can stop whatever Ray does.

A call of Ray can wait for a minute if the GCS (the process that manages a cluster) or the raylet (the one
that manages a node) has died, and then Ray ends the process of its driver. `ray.init` handles no signal.
The main thread therefore only waits: for the work, for a signal, and for the end of the processes on which
the work depends.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable

from pipeline.engine.schedule import Schedule
from pipeline.errors import ClusterLost
from pipeline.executor import Observer
from pipeline.executors.on_ray.watch import Watch, own_processes

_POLL_S = 0.25  # seconds between two looks at the processes of Ray
_CLEANUP_S = 5.0  # seconds for actors to stop and Ray to shut down after a signal
_LOST_CLEANUP_S = 3.0  # the same where processes of Ray have died
_INTERRUPTED = 130  # the exit code after Ctrl-C


class Guard:
    """Runs work in a thread.

    Attributes:
        watch: Looks after the processes of Ray. The work sets it.
    """

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self._stop, self._done = threading.Event(), threading.Event()
        self._error: BaseException | None = None

    def run(self, work: Callable[[], None]) -> None:
        """Run the work and wait for it. Its exceptions are raised here.

        Raises:
            ClusterLost: a process of Ray has died; the work may still wait for it.
            KeyboardInterrupt: a signal stops the run; the work may still wait for the start of Ray.
        """
        try:
            threading.Thread(target=self._call, args=(work,), name="ray", daemon=True).start()
            # Not Thread.join: after a signal, Python 3.11 takes the thread for ended.
            while not self._done.wait(_POLL_S):
                _set_signal_handlers()
                if self.watch:
                    self.watch.check()
        except BaseException as error:
            self._stop.set()
            seconds = _LOST_CLEANUP_S if isinstance(error, ClusterLost) else _CLEANUP_S
            self._abandon(seconds, error)
            raise
        if self._error is not None:
            raise self._error

    def stops(self, observer: Observer) -> Observer:
        """An observer that calls another one, and ends the work once this process stops the run."""
        return _Stops(observer, self._stop)

    def _call(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def _abandon(self, seconds: float, error: BaseException) -> None:
        """Wait until the work has ended; else this process must not wait for Ray when it exits."""
        if not self._done.wait(seconds):
            code = error.args[0] if isinstance(error, KeyboardInterrupt) and error.args else None
            fallback = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else ClusterLost.exit_code
            atexit.register(_exit_without_ray, self._done, code or fallback)


class _Stops:
    def __init__(self, inner: Observer, stop: threading.Event) -> None:
        self.inner, self.stop = inner, stop

    def observe(self, schedule: Schedule) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.inner.observe(schedule)


def _set_signal_handlers() -> None:
    """Set the signal handlers of Python again: while it starts, Ray replaces them outside of Python.

    The handler of Ray for SIGTERM also calls that of Python, but it aborts the process after 3 s.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, handler)


def _exit_without_ray(done: threading.Event, code: int) -> None:
    """At the end of the process: kill the Ray that it started, and do not wait for a call of Ray."""
    if done.is_set():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    for process in own_processes().values():
        process.kill()
    os._exit(code)
