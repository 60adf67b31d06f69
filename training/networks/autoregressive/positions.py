"""The positions of tokens: rotary positions in 3D with YaRN along time, and absolute sin-cos positions.

Source: Su et al. 2021, arXiv:2104.09864; Peng et al. 2023, arXiv:2309.00071, section 3.2, with the ramp of
Llama 3.1 and without the factor of the attention; Agarwal et al. 2025, arXiv:2501.03575, section 6.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.rotary import RotaryTables

BETA_FAST, BETA_SLOW = 4.0, 1.0  # rotations over the original length: not changed above, stretched below


@dataclass(frozen=True)
class Positions:
    """The positions of consecutive tokens.

    Attributes:
        rotary: cos, sin [1 n head_dim/2].
        absolute: [n d], or None.
    """

    rotary: RotaryTables
    absolute: Tensor | None

    def slice(self, start: int, stop: int) -> "Positions":
        """The positions of the places start..stop-1."""
        cos, sin = self.rotary
        absolute = None if self.absolute is None else self.absolute[start:stop]
        return Positions((cos[:, start:stop], sin[:, start:stop]), absolute)


class PositionTable:
    """The positions of the places of a sequence. They are computed once per grid and grow with its length.

    Place 0 is <bov> if the config has it; its rotation is none and its absolute position is zeros.
    """

    def __init__(self, config: AutoregressiveConfig) -> None:
        self.config = config
        self._tables: dict[tuple[tuple[int, int], torch.device], tuple[int, Positions]] = {}

    def __call__(self, start: int, stop: int, grid: tuple[int, int], device: torch.device) -> Positions:
        """The positions of the places start..stop-1 of a video of latent frames (height, width)."""
        places, table = self._tables.get((grid, device), (0, None))
        if table is None or places < stop:
            area = grid[0] * grid[1]
            frames = max(1, -(-stop // area), 2 * (places // area))
            with torch.inference_mode(False), torch.no_grad():
                table = compute_positions(self.config, frames, grid, device)
            self._tables[grid, device] = frames * area, table
        return table.slice(start, stop)


def compute_positions(
    config: AutoregressiveConfig, frames: int, grid: tuple[int, int], device: torch.device
) -> Positions:
    """The positions of the places of `frames` latent frames, and of <bov> before them."""
    axes = (torch.arange(frames), torch.arange(grid[0]), torch.arange(grid[1]))
    positions = torch.cartesian_prod(*axes).to(device).float()  # [n 3]
    spatial_dim = config.head_dim // 6 * 2
    angles = []
    for axis, dim in enumerate((config.head_dim - 2 * spatial_dim, spatial_dim, spatial_dim)):
        frequencies = config.rope_theta ** -(torch.arange(0, dim, 2, device=device).float() / dim)
        if axis == 0 and config.original_latent_frames:
            frequencies = extend(frequencies, config.original_latent_frames, config.max_latent_frames)
        angles.append(positions[:, axis, None] * frequencies)
    table = torch.nn.functional.pad(torch.cat(angles, -1), (0, 0, int(config.bos), 0))
    absolute = None
    if config.absolute_positions:
        absolute = sin_cos(positions, config.hidden_size)
        absolute = torch.nn.functional.pad(absolute, (0, 0, int(config.bos), 0))
    return Positions((table.cos()[None], table.sin()[None]), absolute)


def extend(frequencies: Tensor, original: int, extended: int) -> Tensor:
    """Stretch the wavelengths that do not fit several times into the original length (YaRN)."""
    rotations = original * frequencies / (2 * math.pi)
    kept = ((rotations - BETA_SLOW) / (BETA_FAST - BETA_SLOW)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) * original / extended)


def sin_cos(positions: Tensor, width: int) -> Tensor:
    """Sines and cosines of positions [n 3], [n width]: width // 6 * 2 for h and for w, the rest for t."""
    spatial_dim = width // 6 * 2
    parts = []
    for axis, dim in enumerate((width - 2 * spatial_dim, spatial_dim, spatial_dim)):
        frequencies = 10_000.0 ** -(torch.arange(dim // 2, device=positions.device).float() / (dim // 2))
        angles = positions[:, axis, None] * frequencies
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts, -1)
