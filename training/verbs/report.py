"""Errors on the terminal. Of the ranks of a run that fail together, one prints the message."""

import os
import sys
import time
from datetime import timedelta

from manifests import ClipmillError
from training.errors import LostRankError

CAUSE_FIRST_S = 1.0  # in which the rank that failed can print its cause
STORE_TIMEOUT = timedelta(seconds=5)


def report(error: ClipmillError) -> int:
    """Print an error, unless another rank of torchrun has printed it, and return the exit code.

    After a lost rank, this ends the process: the cleanup of PyTorch would wait for that rank once more.
    """
    if _is_first(error):
        print(error, file=sys.stderr, flush=True)
    if isinstance(error, LostRankError):
        sys.stdout.flush()
        os._exit(error.exit_code)
    return error.exit_code


def _is_first(error: ClipmillError) -> bool:
    """Whether no other rank has printed this error, or, if it is that of a lost rank, any error.

    The ranks ask the key-value store in the process of torchrun. Where there is none, each rank prints.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    import torch.distributed as dist

    prefix = f"clipmill/errors/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            address, port, is_master=False, timeout=STORE_TIMEOUT, wait_for_workers=False
        )
        if isinstance(error, LostRankError):
            time.sleep(CAUSE_FIRST_S)
            return bool(store.add(prefix, 1) == 1)
        store.add(prefix, 1)
        return bool(store.add(f"{prefix}/{error}", 1) == 1)
    except RuntimeError:  # torchrun has ended
        return True
