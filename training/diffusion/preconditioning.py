"""Preconditioning: what a network sees and predicts, as functions of the timestep.

clean = c_skip(t) * noisy + c_out(t) * network(c_in(t) * noisy, c_noise(t), conditioning)

Source: Karras et al. 2022, arXiv:2206.00364, Eq. 7.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from training.diffusion.path import Path
from training.tensors import Coefficient, Timestep

MAX_NOISE_RATIO = 200.0  # of sigma / alpha; t = 0.995 of rectified flow


@runtime_checkable
class Preconditioning(Protocol):
    """Each function has the shape of `t`. `c_out` is not 0 at any timestep of training."""

    def c_skip(self, t: Timestep) -> Coefficient: ...
    def c_out(self, t: Timestep) -> Coefficient: ...
    def c_in(self, t: Timestep) -> Coefficient: ...
    def c_noise(self, t: Timestep) -> Coefficient: ...


@dataclass(frozen=True)
class EDMPreconditioning:
    """Input and target of the network have unit variance at every timestep, on any path.

    On the path `EDM` it is Eq. 7 of the source. On another path it is the same for latents and noise that
    are scaled by alpha and sigma of that path.

    Attributes:
        path: The noise path.
        sigma_data: Standard deviation of the clean latents.
        latent_scale: Factor of the latents that the network was trained with. For latents and sigmas that
            are not multiplied by it, the network gets the same input, and the same c_noise: that of sigma
            times this factor. Cosmos-Predict1 multiplies latents of unit variance by 0.5.
    """

    path: Path
    sigma_data: float = 1.0
    latent_scale: float = 1.0

    def c_skip(self, t: Timestep) -> Coefficient:
        return self.path.alpha(t) * self.sigma_data**2 / self._variance(t)

    def c_out(self, t: Timestep) -> Coefficient:
        return self.path.sigma(t) * self.sigma_data / self._variance(t).sqrt()

    def c_in(self, t: Timestep) -> Coefficient:
        return self._variance(t).rsqrt()

    def c_noise(self, t: Timestep) -> Coefficient:
        """A quarter of ln(latent_scale sigma / alpha), from -10 to that of a ratio of 200.

        Samplers begin at pure noise, where sigma / alpha of most paths is infinite. A training hardly sees
        what is far above: from 200 on, all is the same to the network.
        """
        ratio = self.latent_scale * self.path.sigma(t) / self.path.alpha(t)
        return (ratio.clamp(max=MAX_NOISE_RATIO).log() / 4).clamp(min=-10)

    def _variance(self, t: Timestep) -> Coefficient:
        return (self.path.alpha(t) * self.sigma_data) ** 2 + self.path.sigma(t) ** 2


@dataclass(frozen=True)
class VelocityPreconditioning:
    """The network predicts the velocity (noise - clean) on the path `RectifiedFlow`: clean = noisy - t v.

    Source: Liu et al. 2022, arXiv:2209.03003; Cosmos-Predict2.5 is trained in this way.
    """

    def c_skip(self, t: Timestep) -> Coefficient:
        return torch.ones_like(t)

    def c_out(self, t: Timestep) -> Coefficient:
        return -t

    def c_in(self, t: Timestep) -> Coefficient:
        return torch.ones_like(t)

    def c_noise(self, t: Timestep) -> Coefficient:
        return t


@dataclass(frozen=True)
class ScaledVelocityPreconditioning:
    """The network of `VelocityPreconditioning` on the path `EDM`, with t = sigma / (1 + sigma).

    Cosmos-Predict2 is trained in this way. Its networks and those of Cosmos-Predict2.5 are interchangeable.
    """

    def c_skip(self, t: Timestep) -> Coefficient:
        return 1 / (1 + t)

    def c_out(self, t: Timestep) -> Coefficient:
        return -t / (1 + t)

    def c_in(self, t: Timestep) -> Coefficient:
        return 1 / (1 + t)

    def c_noise(self, t: Timestep) -> Coefficient:
        return t / (1 + t)


@dataclass(frozen=True)
class EpsilonPreconditioning:
    """The network predicts the noise: clean = (noisy - sigma noise) / alpha. It needs alpha above 0.

    Source: Ho et al. 2020, arXiv:2006.11239, Eq. 15.

    Attributes:
        path: The noise path.
        num_train_timesteps: Steps of the chain of the path `DDPM`.
    """

    path: Path
    num_train_timesteps: int = 1000

    def c_skip(self, t: Timestep) -> Coefficient:
        return 1 / self.path.alpha(t)

    def c_out(self, t: Timestep) -> Coefficient:
        return -self.path.sigma(t) / self.path.alpha(t)

    def c_in(self, t: Timestep) -> Coefficient:
        return torch.ones_like(t)

    def c_noise(self, t: Timestep) -> Coefficient:
        """i / num_train_timesteps for the step i of the chain: 0 to almost 1.

        A network whose `timestep_scale` is num_train_timesteps embeds i itself.
        """
        return t - 1 / self.num_train_timesteps
