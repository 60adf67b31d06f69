"""A meter that crashes or hangs its worker, like a bug in a decoder."""

import os
import signal
import time
from collections.abc import Sequence

from stages.scan.meter import FrameView


class Fatal:
    """Crashes with SIGSEGV on a white frame, and hangs on a black one."""

    columns = {"fatal": "always 0 [1]"}

    def update(self, view: FrameView) -> Sequence[float]:
        if view.gray.min() > 200:
            os.kill(os.getpid(), signal.SIGSEGV)
        while view.gray.max() < 50:
            time.sleep(1)
        return (0.0,)
