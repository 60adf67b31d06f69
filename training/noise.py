"""Random numbers that depend only on a seed, a purpose, a position and their place in a tensor.

They come from a counter-based generator: each number is a function of the key (seed, purpose) and of the
counter (position, place in the tensor). There is no state to save or to share between ranks. A rank can draw
any part of a tensor alone. Every device gives the same bits before the Box-Muller transform, and the same
normal numbers up to rounding after it.

The position identifies a tensor: in training it is the position of the sample in the stream of samples (see
`stream_position`), and in evaluation a hash of the sample's id.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox 4x32-10); Box & Muller 1958.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MAX_BATCH = 2**20  # samples per step that have positions of their own
_CPU_CHUNK = 2**14  # counters at a time, so that intermediate values stay in the cache
_FEW = 2**12  # counters
_MASK = 0xFFFFFFFF

Integers = TypeVar("Integers", Tensor, npt.NDArray[np.int64])


def normal(
    seed: int,
    purpose: str,
    positions: Sequence[int],
    shape: Sequence[int],
    *,
    part: Sequence[tuple[int, int]] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal numbers, float32 [len(positions), *shape].

    Args:
        seed: The seed of a run.
        purpose: Name of the stream. Streams of other names are independent.
        positions: One number, 0 to 2^63 - 1, per tensor.
        shape: Shape of the tensor of each position.
        part: (start, stop) along each axis of `shape`, to draw only this part of each tensor. The numbers are
            those of the whole tensor.
        device: Where to draw.
    """
    return _draw(_box_muller, torch.float32, seed, purpose, positions, shape, part, torch.device(device))


def uniform(
    seed: int,
    purpose: str,
    positions: Sequence[int],
    shape: Sequence[int] = (),
    *,
    part: Sequence[tuple[int, int]] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform numbers between 0 and 1 (both excluded), float64. The arguments are those of `normal`."""
    return _draw(_to_uniform, torch.float64, seed, purpose, positions, shape, part, torch.device(device))


def uniform_at(seed: int, purpose: str, positions: Tensor, places: Tensor) -> Tensor:
    """Single numbers of `uniform`: that of the flat place `places` [n] in the tensor of `positions` [n].

    Both are int64 on the device where to draw. Returns float64 [n].
    """
    key, blocks = _key(seed, purpose), places // 4
    if places.device.type == "cpu" and len(places) <= _FEW:  # the calls of PyTorch cost more than the work
        words = torch.from_numpy(np.stack(_philox_words(key, positions.numpy(), blocks.numpy()), -1))
    else:
        words = _philox(key, positions, blocks)
    return _to_uniform(words.gather(-1, (places % 4)[:, None])[:, 0])


def stream_position(step: int, index: int) -> int:
    """The position of the sample number `index`, over all ranks, of a training step."""
    return step * MAX_BATCH + index


def hash_position(text: str) -> int:
    """A position that depends only on a text, such as the id of a sample."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def _draw(
    transform: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    seed: int,
    purpose: str,
    positions: Sequence[int],
    shape: Sequence[int],
    part: Sequence[tuple[int, int]] | None,
    device: torch.device,
) -> Tensor:
    """Four numbers of each counter, for the places that are asked for."""
    count = math.prod(shape)
    if part is None:
        blocks, places, part_shape = torch.arange(-(-count // 4)), None, tuple(shape)
    else:
        starts, length = _runs(shape, part)
        blocks_per_run = (length + 6) // 4  # enough for any place of the first number in its block
        blocks = (starts[:, None] // 4 + torch.arange(blocks_per_run)).flatten()
        first = torch.arange(len(starts)) * 4 * blocks_per_run + starts % 4
        places = (first[:, None] + torch.arange(length)).flatten().to(device)
        part_shape = tuple(stop - start for start, stop in part)
    key = _key(seed, purpose)
    blocks = blocks.to(device)
    chunk = _CPU_CHUNK if device.type == "cpu" else max(_CPU_CHUNK, len(blocks))
    rows = max(1, chunk // max(1, len(blocks)))  # positions at a time
    out = torch.empty(len(positions), len(blocks), 4, dtype=dtype, device=device)
    for row in range(0, len(positions), rows):
        position = torch.tensor(positions[row : row + rows], dtype=torch.int64, device=device)[:, None]
        for start in range(0, len(blocks), chunk):
            words = _philox(key, position, blocks[start : start + chunk])
            out[row : row + rows, start : start + chunk] = transform(words)
    values = out.flatten(1)
    values = values[:, :count] if places is None else values[:, places]
    return values.reshape(len(positions), *part_shape).contiguous()


def _box_muller(words: Tensor) -> Tensor:
    """Words [... 4] to normal numbers [... 4]: the first two words give the first two numbers."""
    radius = ((words[..., ::2].float() + 0.5) * 2.0**-32).log().mul(-2).sqrt()
    angle = words[..., 1::2].float() * (2 * math.pi * 2.0**-32)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1).flatten(-2)


def _to_uniform(words: Tensor) -> Tensor:
    return (words.double() + 0.5) * 2.0**-32


def _philox(key: tuple[int, int], position: int | Tensor, blocks: Tensor) -> Tensor:
    """Four 32-bit words for each counter (position, block [n]), int64 [n 4]; of positions [p 1], [p n 4]."""
    position = blocks * 0 + position
    blocks = position * 0 + blocks
    return torch.stack(_philox_words(key, position, blocks), -1)


def _philox_words(key: tuple[int, int], position: Integers, blocks: Integers) -> list[Integers]:
    """The four words of each counter: arrays of int64, or tensors."""
    c0, c1 = blocks & _MASK, (blocks >> 32) & _MASK
    c2, c3 = position & _MASK, (position >> 32) & _MASK
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # modulo 2^64, in two's complement
        c0 = ((second >> 32) & _MASK) ^ c1 ^ k0
        c2 = ((first >> 32) & _MASK) ^ c3 ^ k1
        c1, c3 = second & _MASK, first & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return [c0, c1, c2, c3]


def _key(seed: int, purpose: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"{seed}\0{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def _runs(shape: Sequence[int], part: Sequence[tuple[int, int]]) -> tuple[Tensor, int]:
    """The runs of consecutive places of a part in the flattened tensor: their starts, and their length."""
    starts, length, is_whole = torch.zeros(1, dtype=torch.int64), 1, True
    stride = 1
    for size, (start, stop) in zip(reversed(shape), reversed(part), strict=True):
        if is_whole:
            starts, length = starts + start * stride, length * (stop - start)
        else:
            starts = (torch.arange(start, stop)[:, None] * stride + starts).flatten()
        is_whole = is_whole and (start, stop) == (0, size)
        stride *= size
    return starts, length
