"""The memory that a process has used."""

import resource
import sys

import torch


def peak_memory_bytes() -> float:
    """The peak so far: of tensors on the GPU of this process, or without one of its resident memory."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux KiB
