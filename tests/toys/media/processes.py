"""A toy meter for the tests of spans: the id of the process that measured a frame."""

import os
import time
from collections.abc import Sequence
from typing import Any


class Process:
    """Waits 5 ms per frame, so that another process can start."""

    columns = {"process": "process id modulo 2**20 [1]"}

    def update(self, view: Any) -> Sequence[float]:
        time.sleep(0.005)
        return (os.getpid() % 2**20,)
