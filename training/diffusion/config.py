"""Which diffusion process a model is trained with, as plain values that a model file stores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import SettingError

if TYPE_CHECKING:
    from training.diffusion.path import Path
    from training.diffusion.preconditioning import Preconditioning

PATHS = ("rectified_flow", "edm", "cosine", "ddpm", "ddpm_cosine")
PRECONDITIONINGS = ("edm", "velocity", "scaled_velocity", "epsilon")
_PATHS_OF = {
    "velocity": ("rectified_flow",),
    "scaled_velocity": ("edm",),
    "epsilon": ("ddpm", "ddpm_cosine"),  # it needs alpha above 0 where sampling starts
}


@dataclass(frozen=True)
class DiffusionConfig:
    """A noise path, and what the network predicts on it.

    Attributes:
        path: rectified_flow, edm, cosine, ddpm (the linear schedule) or ddpm_cosine.
        preconditioning: edm (unit variance, on any path), velocity (Cosmos-Predict2.5, on rectified_flow),
            scaled_velocity (Cosmos-Predict2, on edm) or epsilon (the noise, on ddpm and ddpm_cosine).
        sigma_data: Standard deviation of the clean latents, for edm.
        latent_scale: Factor of the latents that the network was trained with, for edm: 0.5 for
            Cosmos-Predict1. The latents of this package are not multiplied by it.
        has_frame_timesteps: The network gets a timestep of its own for frames that are given.
        given_residual: The difference to the last given latent frame is denoised.

    Raises:
        SettingError: A name is unknown, or path and preconditioning do not fit together.
    """

    path: str = "rectified_flow"
    preconditioning: str = "edm"
    sigma_data: float = 1.0
    latent_scale: float = 1.0
    has_frame_timesteps: bool = False
    given_residual: bool = False

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("path", self.path, PATHS),
            ("preconditioning", self.preconditioning, PRECONDITIONINGS),
        ):
            if value not in choices:
                raise SettingError(
                    f"there is no {name} {value!r}", remedy=f"choose one of {', '.join(choices)}"
                )
        if self.path not in _PATHS_OF.get(self.preconditioning, PATHS):
            raise SettingError(
                f"the preconditioning {self.preconditioning} is not defined on the path {self.path}",
                remedy=f"use the path {_PATHS_OF[self.preconditioning][0]}, or the preconditioning edm",
            )

    def build_path(self) -> "Path":
        """The noise path."""
        from training.diffusion import path

        if self.path.startswith("ddpm"):
            return path.DDPM("cosine" if self.path == "ddpm_cosine" else "linear")
        if self.path == "edm":
            return path.EDM()
        return path.Cosine() if self.path == "cosine" else path.RectifiedFlow()

    def build_preconditioning(self) -> "Preconditioning":
        """The preconditioning on this path."""
        from training.diffusion import preconditioning

        if self.preconditioning == "edm":
            return preconditioning.EDMPreconditioning(self.build_path(), self.sigma_data, self.latent_scale)
        if self.preconditioning == "epsilon":
            return preconditioning.EpsilonPreconditioning(self.build_path())
        if self.preconditioning == "velocity":
            return preconditioning.VelocityPreconditioning()
        return preconditioning.ScaledVelocityPreconditioning()
