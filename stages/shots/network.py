"""Small temporal convolution networks: from the features of `features.py` to boundary probabilities.

The form follows Bai et al. 2018 (arXiv 1803.01271): convolutions over time with growing dilation, each with a
residual connection. The networks differ in the seed of their training, and so in their errors; their logits
are averaged. They are so small that numpy runs them, without a framework.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

KINDS = ("dissolve", "fade", "wipe")
WEIGHTS = Path(__file__).with_name("boundaries.safetensors")


@dataclass(frozen=True)
class BoundaryNetwork:
    """The networks that `training/` trains.

    Attributes:
        networks: Per network, arrays by their names in the file; "mean" and "spread" normalize the features.
        dilations: Dilation of each convolution, in frames.
        features: Names of the features, in order.
    """

    networks: tuple[dict[str, Floats], ...]
    dilations: tuple[int, ...]
    features: tuple[str, ...]

    @property
    def context_frames(self) -> int:
        """Frames before and after a frame that its output depends on, beyond those of the features."""
        return sum(self.dilations)

    def __call__(self, features: Floats) -> Floats:
        """Compute the probabilities of all frames.

        Args:
            features: float32 [n features].

        Returns:
            float32 [n 5]: the probability of a cut at the frame, the probability that the frame is part of a
            transition, and the probabilities of `KINDS` given a transition.
        """
        logits = np.mean([self._logits(features, weights) for weights in self.networks], 0)
        kinds = np.exp(logits[:, 2:] - logits[:, 2:].max(1, keepdims=True))
        probabilities = 1 / (1 + np.exp(-np.clip(logits[:, :2], -30, 30)))
        result: Floats = np.concatenate([probabilities, kinds / kinds.sum(1, keepdims=True)], 1)
        return result

    def _logits(self, features: Floats, weights: dict[str, Floats]) -> Floats:
        """Return the logits of one network, [n 5]."""
        w = weights
        hidden = _gelu((features - w["mean"]) / w["spread"] @ w["in.weight"].T + w["in.bias"])
        for block, dilation in enumerate(self.dilations):
            convolved = _convolve(hidden, w[f"{block}.weight"], dilation) + w[f"{block}.bias"]
            hidden = hidden + _gelu(convolved) @ w[f"{block}.mix.weight"].T + w[f"{block}.mix.bias"]
        logits: Floats = hidden @ w["out.weight"].T + w["out.bias"]
        return logits


def _convolve(hidden: Floats, weight: Floats, dilation: int) -> Floats:
    """Convolve over time with width 3 and zero padding: [n in] and a weight [out in 3] to [n out]."""
    zeros = np.zeros((dilation, hidden.shape[1]), np.float32)
    padded = np.concatenate([zeros, hidden, zeros])
    rows = len(hidden)
    taps = (padded[k * dilation : k * dilation + rows] @ weight[..., k].T for k in range(3))
    total: Floats = np.add.reduce(list(taps))
    return total


def _gelu(x: npt.NDArray[np.floating]) -> Floats:
    """Hendrycks & Gimpel 2016 (arXiv 1606.08415), tanh approximation."""
    activated: Floats = 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))
    return activated


@cache
def load_network() -> BoundaryNetwork:
    """Load the networks that are part of Clipmill. In the file, the first axis of an array is the network."""
    from safetensors import safe_open

    with safe_open(str(WEIGHTS), "np") as file:
        metadata = file.metadata()
        stacked = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    networks = [dict(zip(stacked, arrays, strict=True)) for arrays in zip(*stacked.values(), strict=True)]
    dilations = tuple(map(int, metadata["dilations"].split()))
    return BoundaryNetwork(tuple(networks), dilations, tuple(metadata["measures"].split(",")))
