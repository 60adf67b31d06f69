"""Errors of remote files, and the waits between two attempts."""

import time

MAX_FAILURES = 5  # consecutive requests that return no byte, before a read fails
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 30.0


class RemoteReadError(OSError):
    """A remote file cannot be read now. The file may be good, so `--retry-errors` processes the row again."""


def wait_before_retry(failures: int, retry_after: str = "") -> None:
    """Sleep before the next attempt.

    Args:
        failures: Number of consecutive failures so far.
        retry_after: Seconds that the server asks for, as in the header Retry-After.
    """
    retry_after_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    time.sleep(min(_LONGEST_WAIT_S, max(retry_after_s, _FIRST_WAIT_S * 2 ** (failures - 1))))
