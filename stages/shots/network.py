"""A small temporal convolution network: from the measures of `evidence.py` to the chance of a boundary.

Bai et al. 2018 (arXiv 1803.01271) in its form: convolutions over time with growing dilation and a
shortcut around each. It is so small that plain array code runs it, without a framework.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

KINDS = ("dissolve", "fade", "wipe")
WEIGHTS = Path(__file__).with_name("boundaries.safetensors")


@dataclass(frozen=True)
class Network:
    """What `learning/` taught it; the arrays by name as in the file."""

    weights: dict[str, np.ndarray]
    dilations: tuple[int, ...]
    measures: tuple[str, ...]

    @property
    def reach(self) -> int:
        """Frames on either side that an answer depends on, beside those that the measures look at."""
        return sum(self.dilations)

    def __call__(self, measures: np.ndarray) -> np.ndarray:
        """From float32 [n measures] to float32 [n 5]: the chance that a cut stands at the frame, the
        chance that the frame is a mixture of two shots, and the shares of `KINDS` if it is."""
        w = self.weights
        hidden = _gelu((measures - w["mean"]) / w["spread"] @ w["in.weight"].T + w["in.bias"])
        for block, dilation in enumerate(self.dilations):
            heard = _heard(hidden, w[f"{block}.weight"], dilation) + w[f"{block}.bias"]
            hidden = hidden + _gelu(heard) @ w[f"{block}.mix.weight"].T + w[f"{block}.mix.bias"]
        said = hidden @ w["out.weight"].T + w["out.bias"]
        kinds = np.exp(said[:, 2:] - said[:, 2:].max(1, keepdims=True))
        chances = 1 / (1 + np.exp(-np.clip(said[:, :2], -30, 30)))
        made: np.ndarray = np.concatenate([chances, kinds / kinds.sum(1, keepdims=True)], 1)
        return made


def _heard(hidden: np.ndarray, weight: np.ndarray, dilation: int) -> np.ndarray:
    """A convolution over time of width 3, zeros beyond the ends; weight [out in 3]."""
    nothing = np.zeros((dilation, hidden.shape[1]), np.float32)
    padded = np.concatenate([nothing, hidden, nothing])
    rows = len(hidden)
    parts = (padded[k * dilation : k * dilation + rows] @ weight[..., k].T for k in range(3))
    return np.add.reduce(list(parts))


def _gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks & Gimpel 2016, in its tanh form."""
    made: np.ndarray = 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))
    return made


@cache
def bundled() -> Network:
    """The network that comes with Clipmill."""
    from safetensors import safe_open

    with safe_open(str(WEIGHTS), "np") as file:
        told = file.metadata()
        weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    return Network(weights, tuple(map(int, told["dilations"].split())), tuple(told["measures"].split(",")))
