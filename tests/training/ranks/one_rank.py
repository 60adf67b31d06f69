"""One rank of a program: what a child process runs, with what torchrun would have told it."""

import os
import runpy
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path


def start(env: dict[str, str], script: str, arguments: list[str], out: str) -> None:
    """Run a script as `__main__`; what it prints goes to the file `out`."""
    import torch

    os.environ.update(env)
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    sys.argv = [script, *arguments]
    with Path(out).open("w") as file, redirect_stdout(file):
        runpy.run_path(script, run_name="__main__")
