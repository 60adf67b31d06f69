"""The diffusion process and the loss of a training."""

from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, Range, Share
from training.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class GivenSettings:
    """What any model of videos is given: text, and latent frames at the start of a clip.

    Attributes:
        text_dropout: Share of clips that lose their text, for classifier-free guidance. Higher values make
            sampling without text better.
        conditional_frames: Odds of 0, 1, 2 … latent frames that are given at the start of a clip.
            (1,) is text-to-video only; (0.5, 0.25, 0.25) also trains image-to-video and video-to-video.
    """

    text_dropout: Share = 0.1
    conditional_frames: tuple[NonNegativeFloat, ...] = (1.0,)

    def check_odds(self) -> None:
        """Check that the odds of given frames are odds.

        Raises:
            SettingError: They are not.
        """
        odds = self.conditional_frames
        if min(odds, default=-1) < 0 or not sum(odds):
            raise SettingError(
                f"conditional_frames is {odds}; it must be odds of 0 or more, one of them above 0",
                remedy="use for example 0.5,0.25,0.25 for 0, 1 and 2 given latent frames",
            )


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings(GivenSettings):
    """The diffusion process and the loss of a training.

    Attributes:
        path: Noise path: rectified_flow (flow matching), edm, cosine, ddpm (1000 steps with the linear
            schedule) or ddpm_cosine.
        preconditioning: What the network predicts: edm (input and target of unit variance, on any path),
            velocity (as Cosmos-Predict2.5, on rectified_flow), scaled_velocity (as Cosmos-Predict2, on edm)
            or epsilon (the noise, on ddpm and ddpm_cosine).
        sigma_data: Standard deviation of the latents that the edm preconditioning assumes.
        latent_scale: Factor of the latents that pretrained weights were trained with, for the edm
            preconditioning: 0.5 for Cosmos-Predict1. Latents are not multiplied by it.
        loss_weight: Weight of the loss by timestep: velocity (the squared error of noise - clean),
            network_output (the squared error of the network's output) or min_snr.
        uncertainty: Train a head u(c_noise) that learns the logarithm of the loss at each noise level. The
            loss is then loss * exp(-u) + u, so it can be negative. Sampling does not use the head.
        loss_scale: Factor of the loss. Higher values make gradients larger, before they are clipped.
        condition_timestep: Timestep of given frames that the network gets, one for each frame; 0 gives it
            only one timestep per clip.
        condition_timestep_std: Standard deviation of the logarithm of noise / signal of the noise that is
            added to given frames (noise augmentation, as Cosmos-Predict1). 0 adds none (Cosmos-Predict2.5).
            Cosmos-Predict1: 2 with mean -3 in its video-to-video example, which is mean -2.3 for latents of
            unit variance. Higher values vary it more.
        condition_timestep_mean: Mean of that logarithm. Higher values make the model follow given frames
            less exactly.
        given_residual: Denoise the difference to the last given latent frame, which is also an input at each
            frame. What does not move is then predicted from the first step on; clips without given frames
            are denoised as they are. A small network learns the dynamics of a short clip faster.
        given_filters: Linear filters of the last given frame that a 3-D U-Net weights at each place and adds
            to its output, with given_residual. Small motions of frames whose latents are near to pixels are
            then learned much faster, above all those of a camera. Higher values allow more kinds of motion,
            and take more time. 0: none.
        given_planes: Planes of a multiplane image of the last given frame, which a 3-D U-Net with
            given_residual and conditions=camera predicts and renders at the camera of each frame. What the
            given frame shows then moves exactly as the camera says. Higher values separate depths better, and
            take more time. 0: none.
        nearest_plane: Depth of the nearest of these planes, in the unit of translations after camera_scale.
            Higher values separate far depths better, and place what is nearer too far away.
        flow_shift: Shift of the training timesteps towards noise; 1 is none. Larger latents need more.
        high_noise_share: Share of the timesteps that are drawn from 0.98 to 1. Higher values train the start
            of sampling more.
        timestep_mean: Mean of the normal distribution of logit(timestep), or of ln(sigma) on the path edm.
            Higher values train more on noise.
        timestep_std: Standard deviation of that distribution. Higher values train more on both ends.
    """

    path: str = "rectified_flow"
    preconditioning: str = "edm"
    sigma_data: PositiveFloat = 1.0
    latent_scale: PositiveFloat = 1.0
    loss_weight: str = "velocity"
    uncertainty: bool = False
    loss_scale: PositiveFloat = 1.0
    condition_timestep: NonNegativeFloat = 0.0
    condition_timestep_std: NonNegativeFloat = 0.0
    condition_timestep_mean: Annotated[float, Range(-20, 20)] = -3.0
    given_residual: bool = False
    given_filters: NonNegativeInt = 0
    given_planes: NonNegativeInt = 0
    nearest_plane: PositiveFloat = 1.0
    flow_shift: PositiveFloat = 1.0
    high_noise_share: Share = 0.0
    timestep_mean: Annotated[float, Range(-20, 20)] = 0.0
    timestep_std: PositiveFloat = 1.0
