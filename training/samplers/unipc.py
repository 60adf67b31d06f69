"""UniPC: a multistep predictor and corrector in lambda = log(alpha / sigma), with one prediction per step.

In lambda, latents change by a known factor and by an integral of the clean prediction with exponential
weights. A polynomial through the latest predictions approximates the integrand. The next prediction then
also corrects the step that led to it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import Denoiser
from training.diffusion.path import Path
from training.tensors import Latents


@dataclass(frozen=True)
class _Node:
    """What is known at one timestep; `clean` is the prediction there."""

    alpha: float
    sigma: float
    log_ratio: float  # log(alpha / sigma): -inf for pure noise, inf for clean latents
    clean: Latents | None = None


@dataclass(frozen=True)
class UniPC:
    """The predictor of order `order` and the corrector of the same number of predictions.

    The first steps have a lower order, because there are fewer predictions. So have the last ones if the
    timesteps end at 0, where lambda has no bound.

    Source: Zhao et al. 2023, arXiv:2302.04867, Algorithms 7 and 8, with B(h) = e^h - 1.

    Attributes:
        order: Predictions that the predictor uses, 1 to 3.

    Raises:
        ValueError: `order` is not 1, 2 or 3.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise ValueError(f"order is {self.order}; 1, 2 or 3")

    def __call__(
        self,
        denoiser: Denoiser,
        path: Path,
        noise: Latents,
        conditioning: Conditioning,
        timesteps: torch.Tensor,
        *,
        seed: int = 0,
        positions: Sequence[int] | None = None,
    ) -> Latents:
        nodes = _nodes(path, timesteps)
        x, start, steps = noise * nodes[0].sigma, noise, len(nodes) - 1
        known: list[_Node] = []  # with predictions, the latest first
        for step, t in enumerate(timesteps[:-1]):
            clean = denoiser(x, t.to(x).expand(len(x)), conditioning)
            node = _Node(nodes[step].alpha, nodes[step].sigma, nodes[step].log_ratio, clean)
            if step > 0:
                x = _advance(start, known, node)
            order = min(self.order, steps - step) if nodes[-1].sigma == 0 else self.order
            known, start = [node, *known][:order], x
            x = _advance(start, known, nodes[step + 1])
        return x


def _nodes(path: Path, timesteps: torch.Tensor) -> list[_Node]:
    pairs = zip(path.alpha(timesteps).tolist(), path.sigma(timesteps).tolist(), strict=True)
    return [_Node(alpha, sigma, _log_ratio(alpha, sigma)) for alpha, sigma in pairs]


def _log_ratio(alpha: float, sigma: float) -> float:
    if alpha <= 0:
        return -math.inf
    return math.inf if sigma <= 0 else math.log(alpha / sigma)


def _advance(x: Latents, known: Sequence[_Node], target: _Node) -> Latents:
    """Move x from the latest known node to the target, whose prediction is used if there is one."""
    now = known[0]
    assert now.clean is not None
    h = target.log_ratio - now.log_ratio
    places: list[float] = []  # 0 at `now` and 1 at the target
    others: list[Latents] = []
    for node in known[1:]:
        place = (node.log_ratio - now.log_ratio) / h
        if node.clean is not None and 0 < abs(place) < math.inf:
            places.append(place)
            others.append(node.clean)
    if target.clean is not None:
        places.append(1.0)
        others.append(target.clean)
    change = -math.expm1(-h) * now.clean
    for weight, place, clean in zip(_weights(places, h), places, others, strict=True):
        change = change + weight / place * (clean - now.clean)
    return target.sigma / now.sigma * x + target.alpha * change


def _weights(places: Sequence[float], h: float) -> list[float]:
    """Weights w with which the sum of w_k place_k^(i-1) is the i-th moment of the exponential on [0, 1].

    The moments are h times the integral of exp(-h (1 - r)) r^i. A single weight is half of the moment 0, as
    in the source, which is equal up to the order of the method.
    """
    moment = -math.expm1(-h)
    if len(places) < 2:
        return [moment / 2] * len(places)
    moments = []
    for i in range(1, len(places) + 1):
        moment = 1 - i / h * moment
        moments.append(moment)
    powers = torch.tensor([[place**i for place in places] for i in range(len(places))], dtype=torch.float64)
    weights: list[float] = torch.linalg.solve(powers, torch.tensor(moments, dtype=torch.float64)).tolist()
    return weights
