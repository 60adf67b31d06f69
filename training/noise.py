"""Random numbers that belong to a sample and a step, wherever and whenever they are drawn.

A counter-based generator keyed by (seed, sample, purpose) and counted by step: no state to keep or to share.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox 4x64-10), through NumPy.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def normal(seed: int, sample: str, step: int, shape: Sequence[int], purpose: str = "noise") -> Tensor:
    """Standard normal numbers, float32, on the CPU; shape as asked, without a batch axis."""
    drawn = _generator(seed, sample, step, purpose).standard_normal(tuple(shape), dtype=np.float32)
    return torch.from_numpy(drawn) if shape else torch.tensor(float(drawn))


def uniform(seed: int, sample: str, step: int, shape: Sequence[int], purpose: str = "time") -> Tensor:
    """Numbers evenly spread over 0 (included) to 1 (excluded), float32, on the CPU."""
    drawn = _generator(seed, sample, step, purpose).random(tuple(shape), dtype=np.float32)
    return torch.from_numpy(drawn) if shape else torch.tensor(float(drawn))


def _generator(seed: int, sample: str, step: int, purpose: str) -> np.random.Generator:
    """The key is a digest of who asks; the step is in the counter's high words, draws in its low ones."""
    asked = f"{seed}\0{purpose}\0{sample}".encode()
    key = int.from_bytes(hashlib.sha256(asked).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key, counter=step << 128))
