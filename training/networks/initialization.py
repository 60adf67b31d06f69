"""Initial values of parameters that depend only on a seed and on the name of the parameter.

So a network gets the same weights on every device and in every layout of ranks, and a rank draws only the
rows of a sharded parameter that it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from training.noise import uniform

_BLOCK = 2**16  # numbers that share a position of the random stream


@dataclass(frozen=True)
class LocalPart:
    """What this rank holds of a parameter: all of it, or of a DTensor a part.

    Attributes:
        tensor: The storage of the part.
        offsets: Its first index along each axis of the whole parameter.
    """

    tensor: Tensor
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, parameter: Tensor) -> "LocalPart":
        if not isinstance(parameter, DTensor):
            return cls(parameter, (0,) * parameter.dim())
        chunk = parameter.__create_chunk_list__()[0]  # type: ignore[no-untyped-call]
        return cls(parameter.to_local(), tuple(chunk.offsets))

    @property
    def rows(self) -> tuple[int, int]:
        """First row, and the row after the last."""
        return self.offsets[0], self.offsets[0] + self.tensor.shape[0]

    @torch.no_grad()
    def copy_from_rows(self, rows: Tensor) -> None:
        """Fill the part from these rows of the whole parameter."""
        for axis in range(1, rows.dim()):
            rows = rows.narrow(axis, self.offsets[axis], self.tensor.shape[axis])
        self.tensor.copy_(rows)


def truncated_normal(
    seed: int, name: str, shape: tuple[int, ...], rows: tuple[int, int], device: torch.device
) -> Tensor:
    """Some rows of the parameter `name`: normal with standard deviation 1, cut at -3 and 3.

    Args:
        seed: The seed of the run.
        name: The full name of the parameter.
        shape: Shape of the whole parameter.
        rows: First row, and the row after the last.
        device: Where to draw. The numbers are equal on all devices, up to rounding.
    """
    first, last = (row * prod(shape[1:]) for row in rows)
    low, high = torch.special.ndtr(torch.tensor([-3.0, 3.0], dtype=torch.float64)).tolist()
    out = torch.empty(last - first, device=device)
    for position in range(first // _BLOCK, -(-last // _BLOCK)):
        offset = position * _BLOCK
        begin, end = max(first, offset), min(last, offset + _BLOCK)
        numbers = uniform(seed, f"initialize {name}", [position], (end - offset,), device=device)
        numbers = low + numbers[0, begin - offset :] * (high - low)
        out[begin - first : end - first] = torch.special.ndtri(numbers)
    return out.reshape(rows[1] - rows[0], *shape[1:])


def fill_truncated_normal(parameter: Tensor, name: str, seed: int, std: float) -> None:
    """Fill a parameter, or this rank's part of it, with `truncated_normal` times `std`, in place."""
    part = LocalPart.of(parameter)
    rows = truncated_normal(seed, name, tuple(parameter.shape), part.rows, part.tensor.device)
    part.copy_from_rows(rows * std)


def fill_lattice(parameter: Tensor, name: str, seed: int, levels: Sequence[int]) -> None:
    """Fill a table of codes, or this rank's rows of it, with a random linear map of their FSQ lattice points.

    Each coordinate of the points has mean 0 and variance 1 over all codes. Rows after the last code are 0.
    """
    part = LocalPart.of(parameter)
    first, last = part.rows
    index = torch.arange(first, last, device=part.tensor.device)
    sizes = torch.tensor(levels, device=index.device)
    digits = index[:, None] // (sizes.cumprod(0) // sizes) % sizes  # the first varies fastest, as in FSQ
    points = (digits - (sizes - 1) / 2) / ((sizes.square() - 1) / 12).sqrt()
    shape = len(levels), parameter.shape[1]
    directions = truncated_normal(seed, name, shape, (0, shape[0]), index.device) * shape[0] ** -0.5
    rows = torch.where(index[:, None] < prod(levels), points @ directions, 0)
    part.copy_from_rows(rows)
