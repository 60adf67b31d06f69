"""Puts trained networks into one file, whose logits are averaged, and calibrates them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

ODDS = (11.0, 5.4)  # of a cut and of a transition: how much higher they are in training than in real footage


def merge_networks(files: Sequence[Path], out: Path) -> None:
    """Merge networks of the same features and dilations, and write the result.

    Training films have many more boundaries than real footage, and a missed cut counts three times, so the
    odds are divided by `ODDS`: 0.5 is then the score at which a boundary is as probable as none.
    """
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    networks = [load_file(path) for path in files]
    with safe_open(str(files[0]), "np") as file:
        metadata = file.metadata()
    merged = {name: np.concatenate([network[name] for network in networks]) for name in networks[0]}
    merged["out.bias"][:, : len(ODDS)] -= np.log(ODDS)
    save_file(merged, out, metadata)
