"""Random numbers that depend only on a seed, a sample, a step and a purpose.

They come from a counter-based generator, keyed by (seed, sample, purpose) and counted by step. There is no
state to save or to share between ranks.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox 4x64-10), through NumPy.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def normal(seed: int, sample: str, step: int, shape: Sequence[int], purpose: str = "noise") -> Tensor:
    """Standard normal numbers of the given shape (without a batch axis), float32, on the CPU."""
    values = _generator(seed, sample, step, purpose).standard_normal(tuple(shape), dtype=np.float32)
    return torch.from_numpy(values) if shape else torch.tensor(float(values))


def uniform(seed: int, sample: str, step: int, shape: Sequence[int], purpose: str = "time") -> Tensor:
    """Uniform numbers in 0 (included) to 1 (excluded), float32, on the CPU."""
    values = _generator(seed, sample, step, purpose).random(tuple(shape), dtype=np.float32)
    return torch.from_numpy(values) if shape else torch.tensor(float(values))


def _generator(seed: int, sample: str, step: int, purpose: str) -> np.random.Generator:
    """The step is in the high words of the counter, the number of draws in its low words."""
    key_text = f"{seed}\0{purpose}\0{sample}".encode()
    key = int.from_bytes(hashlib.sha256(key_text).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key, counter=step << 128))
