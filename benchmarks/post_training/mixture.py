"""Latents whose distribution is known: a mixture of Gaussians around a few patterns."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import Tensor

from stages.media.tar import index_bytes, write_tar

SHAPE = (4, 2, 4, 4)  # c t h w
MODES, STD = 8, 0.15
METADATA: dict[str, Any] = {
    "format": 1,
    "tokenizer": "mixture",
    "tokenizer_digest": "mixture",
    "stride": [1, 8, 8],
    "dtype": "float32",
    "fps": 8.0,
    "shape": list(SHAPE),
}
Array = npt.NDArray[np.float64]


def patterns() -> Tensor:
    """The means of the mixture, [modes c t h w]. Their mean is 0, and each value has variance about 1."""
    rng = torch.Generator().manual_seed(1)
    means = torch.randn(MODES, *SHAPE, generator=rng)
    return (means - means.mean(0)) / means.std()


def draw(count: int, seed: int, modes: range = range(MODES)) -> Tensor:
    """Samples of the mixture, or of some of its modes, [count c t h w]."""
    rng = torch.Generator().manual_seed(seed)
    chosen = modes.start + torch.randint(len(modes), (count,), generator=rng)
    return patterns()[chosen] + STD * torch.randn(count, *SHAPE, generator=rng)


def write_shard(folder: Path, count: int, seed: int, modes: range = range(MODES)) -> list[tuple[str, str]]:
    """A shard of samples of the mixture; see `write_latents`."""
    return write_latents(folder, draw(count, seed, modes), METADATA, seed)


def write_latents(
    folder: Path, samples: Tensor, metadata: Mapping[str, Any], seed: int
) -> list[tuple[str, str]]:
    """A shard of latents [n c t h w], (tar, index), as `train` and `evaluate` take it."""
    members = []
    for number, latents in enumerate(samples):
        name = f"{seed:04d}{number:06d}"
        members += [
            (f"{name}.json", json.dumps({"id": name, **metadata}).encode()),
            (f"{name}.safetensors", save({"latents": latents.contiguous()})),
            (f"{name}.txt", b""),
        ]
    folder.mkdir(parents=True)
    tar = folder / "000000.tar"
    written = write_tar(tar, iter(members))
    footer = {"clipmill.latents": json.dumps({**metadata, "samples": len(samples)})}
    tar.with_suffix(".parquet").write_bytes(index_bytes(written, footer))
    return [(str(tar), str(tar.with_suffix(".parquet")))]


def frechet_distance(samples: Tensor) -> float:
    """Frechet distance of samples [n c t h w] to the exact mean and covariance of the mixture."""
    means = patterns().flatten(1).double().numpy()
    covariance = means.T @ means / MODES + STD**2 * np.eye(means.shape[1])  # their mean is 0
    values = samples.flatten(1).double().numpy()
    other = np.cov(values, rowvar=False)
    root = _square_root(covariance)
    mixed = np.linalg.eigvalsh(root @ other @ root).clip(min=0)
    trace = np.trace(covariance) + np.trace(other) - 2 * np.sqrt(mixed).sum()
    return float(np.square(values.mean(0)).sum() + trace)


def distance_to_modes(samples: Tensor) -> tuple[float, float]:
    """Root mean square distance per value to the nearest pattern, and the largest error of a mode's share.

    For the mixture itself they are `STD` and 0.
    """
    squared = torch.cdist(samples.flatten(1), patterns().flatten(1)).square() / samples[0].numel()
    nearest, number = squared.min(1)
    shares = torch.bincount(number, minlength=MODES) / len(samples)
    return float(nearest.mean().sqrt()), float((shares - 1 / MODES).abs().max())


def _square_root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
