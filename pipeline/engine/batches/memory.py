"""Recognizes errors for lack of memory, and frees the memory that a failed batch has left.

No library is imported for this: torch, CuPy and onnxruntime are used only if a stage has loaded them.
"""

import errno
import gc
import re
import sys

_NAMES = frozenset({"OutOfMemoryError", "CUDAOutOfMemoryError"})  # torch and CuPy; PyArrow has a MemoryError
_TEXT = re.compile(
    r"out of memory"  # CUDA, MPS, XLA
    r"|CU(BLAS|DNN|SPARSE|FFT)_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation"
    r"|failed to allocate memory|BFCArena|bad[_ ]alloc"  # onnxruntime, C++
    r"|not enough memory|can'?t allocate memory|cannot allocate memory"  # torch on a CPU, the system
    r"|unable to allocate",  # numpy
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or its cause, says that the memory of the machine or of a GPU is used up."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        names = {kind.__name__ for kind in type(found).__mro__}
        if isinstance(found, MemoryError) or names & _NAMES:
            return True
        if isinstance(found, OSError):
            if found.errno == errno.ENOMEM:
                return True
        elif _TEXT.search(str(found)):
            return True
        found = found.__cause__ or found.__context__
    return False


def free_memory() -> None:
    """Free what a failed batch has left. Call it when the exception, which holds the batch, is gone."""
    gc.collect()
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.empty_cache()
