"""Merges trained networks into one wider network, whose logits are the mean of theirs, and calibrates it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

ODDS = (7.5, 5.4)  # of a cut and of a transition: how much higher they are in training than in real footage


def merge_networks(files: Sequence[Path], out: Path) -> None:
    """Merge networks of the same features and dilations, and write the result.

    Their channels stand side by side, and no weight connects them. Training films have many more boundaries
    than real footage, and a missed cut counts three times, so the odds are divided by `ODDS`: 0.5 is then the
    score at which a boundary is as probable as none.
    """
    from safetensors import safe_open
    from safetensors.numpy import save_file

    networks = []
    for path in files:
        with safe_open(str(path), "np") as file:
            metadata = file.metadata()
            networks.append({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    mean, spread = networks[0]["mean"], networks[0]["spread"]
    scaled = [network["in.weight"] / network["spread"] for network in networks]  # each has its own scale
    offsets = [
        network["in.bias"] + weight @ (mean - network["mean"])
        for network, weight in zip(networks, scaled, strict=True)
    ]
    merged = {
        "mean": mean,
        "spread": spread,
        "in.weight": np.concatenate(scaled) * spread,
        "in.bias": np.concatenate(offsets),
        "out.weight": np.concatenate([network["out.weight"] for network in networks], 1) / len(networks),
        "out.bias": np.mean([network["out.bias"] for network in networks], 0),
    }
    merged["out.bias"][: len(ODDS)] -= np.log(ODDS)
    for name in set(networks[0]) - set(merged):
        parts = [network[name] for network in networks]
        merged[name] = np.concatenate(parts) if name.endswith("bias") else _side_by_side(parts)
    arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in merged.items()}
    save_file(arrays, out, metadata)


def _side_by_side(weights: Sequence[Floats]) -> Floats:
    """Return a block-diagonal weight, [sum of out, sum of in, ...]."""
    size = sum(len(weight) for weight in weights)
    total = np.zeros((size, size, *weights[0].shape[2:]), np.float32)
    first = 0
    for weight in weights:
        total[first : first + len(weight), first : first + len(weight)] = weight
        first += len(weight)
    return total
