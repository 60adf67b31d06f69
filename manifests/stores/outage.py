"""Waits while an object store does not answer: exponential back-off with jitter, up to a patience.

A process that waits says so once, as a warning of the logger `clipmill.store`, and again when the store
answers. The patience counts from the begin of the first request without an answer, or from the last answer,
for all calls of the process together, so a run that gave up does not wait again for each file that it still
wants to write. A server that accepts requests and stays silent is noticed after the time-outs of the library.
"""

import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from manifests.errors import InvalidSetting, StoreUnavailable

PATIENCE_VARIABLE = "CLIPMILL_STORE_PATIENCE"
_DEFAULT_PATIENCE_S = 600.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_REPORT_AFTER_S = 10.0  # a shorter outage is not worth a message
_logger = logging.getLogger("clipmill.store")
_this_thread = threading.local()
_lock = threading.Lock()

Kind = Literal["read", "write"]  # a store whose disk is broken may still answer to reads
T = TypeVar("T")


@dataclass
class _Outage:
    """The time in which a store has not answered to one kind of calls of this process."""

    since: float  # time.monotonic()
    clock: str
    is_reported: bool = False
    is_given_up: bool = False


_outages: dict[tuple[str, Kind], _Outage] = {}
_answers: dict[tuple[str, Kind], float] = {}  # when a store last answered, in seconds of time.monotonic()
_ended: list[str] = []  # what was reported about outages that are over


def store_patience_s() -> float:
    """For how many seconds a store that does not answer is waited for: CLIPMILL_STORE_PATIENCE, or 600.

    Raises:
        InvalidSetting: the variable is no number of seconds.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        patience_s = float(text or _DEFAULT_PATIENCE_S)
    except ValueError:
        patience_s = math.nan
    if not patience_s >= 0:
        raise InvalidSetting(
            f"{PATIENCE_VARIABLE}={text} is no number of seconds",
            remedy=f"for example {PATIENCE_VARIABLE}=1800 to wait for half an hour, or 0 to never wait",
        )
    return patience_s


@contextmanager
def without_waiting() -> Iterator[None]:
    """Calls of this thread fail at once if the store does not answer."""
    before = getattr(_this_thread, "fails_at_once", False)
    _this_thread.fails_at_once = True
    try:
        yield
    finally:
        _this_thread.fails_at_once = before


def take_ended_outages() -> list[str]:
    """A sentence for each outage that was reported and is over. The next call returns only later ones."""
    taken = _ended[:]
    del _ended[: len(taken)]
    return taken


def wait_for_answer(
    call: Callable[[], T],
    *,
    store: str,
    kind: Kind,
    patience_s: float,
    reason_of: Callable[[Exception], str],
) -> T:
    """The result of `call`, which is repeated while the store does not answer.

    Args:
        call: One request to the store, or several that may be repeated together.
        store: URL of the store.
        kind: Whether the call reads or writes.
        patience_s: For how many seconds the call is repeated.
        reason_of: Why the store did not answer, for an error of the call; "" if the error is an answer.

    Raises:
        StoreUnavailable: the store did not answer for `patience_s`.
    """
    started: float | None = None
    wait_s = _FIRST_WAIT_S
    while True:
        begun = time.monotonic()
        try:
            result = call()
        except Exception as error:
            reason = reason_of(error)
            if not reason:
                _answered(store, kind)
                raise
            started = started or begun
            outage = _not_answered(store, kind, begun)
            left_s = min(outage.since, started) + patience_s - time.monotonic()
            if left_s <= 0 or outage.is_given_up or getattr(_this_thread, "fails_at_once", False):
                raise _unavailable(store, outage, reason, patience_s) from error
            _report(store, outage, reason, left_s)
        else:
            _answered(store, kind)
            return result
        try:
            time.sleep(min(left_s, wait_s * random.uniform(0.5, 1.0)))
        except BaseException:  # Ctrl-C: what follows must not wait again
            outage.is_given_up = True
            raise
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _not_answered(store: str, kind: Kind, begun: float) -> _Outage:
    since = max(begun, _answers.get((store, kind), begun))
    clock = time.localtime(time.time() - (time.monotonic() - since))
    with _lock:
        return _outages.setdefault((store, kind), _Outage(since, time.strftime("%H:%M:%S", clock)))


def _answered(store: str, kind: Kind) -> None:
    _answers[store, kind] = time.monotonic()
    if (store, kind) not in _outages:
        return
    with _lock:
        outage = _outages.pop((store, kind), None)
        is_last = not any(other.is_reported for (url, _), other in _outages.items() if url == store)
    if outage and outage.is_reported and is_last:
        seconds = time.monotonic() - outage.since
        _logger.warning("the store %s answers again after %.0f s; the work goes on", store, seconds)
        _ended.append(f"the store did not answer from {outage.clock} on, for {seconds:.0f} s")


def _report(store: str, outage: _Outage, reason: str, left_s: float) -> None:
    with _lock:
        is_due = not outage.is_reported and time.monotonic() - outage.since >= _REPORT_AFTER_S
        is_first = not any(other.is_reported for (url, _), other in _outages.items() if url == store)
        outage.is_reported |= is_due
    if is_due and is_first:
        _logger.warning(
            "the store %s does not answer since %s (%s); trying again for %.0f s, nothing is lost",
            *(store, outage.clock, reason, left_s),
        )


def _unavailable(store: str, outage: _Outage, reason: str, patience_s: float) -> StoreUnavailable:
    seconds = time.monotonic() - outage.since
    return StoreUnavailable(
        f"the store has not answered since {outage.clock}, for {seconds:.0f} s: {reason}",
        where=store,
        remedy="check that the store is reachable (AWS_ENDPOINT_URL), and run the same command again;"
        f" finished work is kept. {PATIENCE_VARIABLE}=SECONDS sets how long to wait (now {patience_s:.0f})",
    )
