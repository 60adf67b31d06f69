"""Loss weights: the factor of the squared error of the clean prediction, as a function of the timestep."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from training.diffusion.path import Path
from training.diffusion.preconditioning import Preconditioning
from training.tensors import Coefficient, Timestep


@runtime_checkable
class LossWeight(Protocol):
    """The weight has the shape of `t`."""

    def __call__(self, t: Timestep) -> Coefficient: ...


@dataclass(frozen=True)
class NetworkOutputWeight:
    """1 / c_out^2: the loss is the mean squared error of the network's output.

    With `EDMPreconditioning` on the path `EDM` it is the weight (sigma^2 + sigma_data^2) / (sigma
    sigma_data)^2 of EDM. With `VelocityPreconditioning` it is 1 / t^2, and with `EpsilonPreconditioning` the
    simple loss of DDPM. Source: Karras et al. 2022, arXiv:2206.00364, Eq. 8.
    """

    preconditioning: Preconditioning

    def __call__(self, t: Timestep) -> Coefficient:
        return self.preconditioning.c_out(t) ** -2


@dataclass(frozen=True)
class VelocityWeight:
    """The loss is the mean squared error of the velocity (noise - clean), on any path.

    The error of (noise - clean) is the error of the clean prediction times (alpha + sigma) / sigma. On the
    path `RectifiedFlow` the weight is 1 / t^2, whatever the network predicts.
    """

    path: Path

    def __call__(self, t: Timestep) -> Coefficient:
        return ((self.path.alpha(t) + self.path.sigma(t)) / self.path.sigma(t)) ** 2


@dataclass(frozen=True)
class MinSNRWeight:
    """min((alpha / sigma)^2, gamma). Source: Hang et al. 2023, arXiv:2303.09556, section 3.4."""

    path: Path
    gamma: float = 5.0

    def __call__(self, t: Timestep) -> Coefficient:
        return (self.path.alpha(t) / self.path.sigma(t)).square().clamp(max=self.gamma)
