"""Runs one rank of a script in a child process, with the environment variables of torchrun."""

import os
import runpy
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path


def run_script(env: dict[str, str], script: str, arguments: list[str], out: str) -> None:
    """Run a script as `__main__`, and write its output to the file `out`."""
    import torch

    os.environ.update(env)
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    sys.argv = [script, *arguments]
    with Path(out).open("w") as file, redirect_stdout(file):
        runpy.run_path(script, run_name="__main__")
