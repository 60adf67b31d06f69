"""A toy meter for the tests of spans: the process that saw a frame."""

import os
import time
from collections.abc import Sequence
from typing import Any


class Process:
    """Takes its time, so that another process may come in."""

    columns = {"process": "number of the process, less a multiple of 2**20 [1]"}

    def update(self, view: Any) -> Sequence[float]:
        time.sleep(0.005)
        return (os.getpid() % 2**20,)
