"""A meter that does to its worker what a bug in a decoder may do: end it by a signal, or never come back."""

import os
import signal
import time
from collections.abc import Sequence

from stages.scan.meter import View


class Fatal:
    """Dies by SIGSEGV of a white picture, and of a black one hangs."""

    columns = {"fatal": "nothing; the worker may be gone [1]"}

    def update(self, view: View) -> Sequence[float]:
        if view.gray.min() > 200:
            os.kill(os.getpid(), signal.SIGSEGV)
        while view.gray.max() < 50:
            time.sleep(1)
        return (0.0,)
