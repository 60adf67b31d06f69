"""The families of Cosmos-Predict: the diffusion process and the training settings of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.networks.config import MODEL_CONFIGS, VideoDiTConfig

DIFFUSION_SETTINGS = ("path", "preconditioning", "sigma_data", "latent_scale", "given_residual")
TRAINING_SETTINGS = (
    "loss_weight",
    "conditional_frames",
    "condition_timestep",
    "condition_timestep_mean",
    "condition_timestep_std",
    "flow_shift",
    "high_noise_share",
    "timestep_mean",
    "timestep_std",
)


@dataclass(frozen=True)
class Family:
    """How the models of a family were trained, as fields of `DiffusionSettings`.

    Attributes:
        name: Name of the family.
        diffusion: Some of `DIFFUSION_SETTINGS`. The weights have no meaning with others.
        training: Some of `TRAINING_SETTINGS`: those that the publisher states. They assume `diffusion`.
    """

    name: str
    diffusion: Mapping[str, Any]
    training: Mapping[str, Any]


def find_family(network: VideoDiTConfig) -> Family:
    """The family whose networks have this config, with what is stated for a network of this kind.

    Cosmos-Predict1 (NVIDIA, github.com/nvidia-cosmos/cosmos-predict1): EDM with P_mean 0, P_std 1 and the
    weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2. Its Video2World example has 0, 1 or 2 given latent
    frames, each as often, with noise of mean -3 and std 2. Sigmas there are those of latents times 0.5.
    Relative to latents of unit variance they are twice as large, so ln 2 is added to each mean.

    Cosmos-Predict2 (github.com/nvidia-cosmos/cosmos-predict2): weight (1 + sigma)^2 / sigma^2, ln(sigma) of
    mean ln 4 and std 1.2, as the 2B Video2World model; other models have means up to ln 5.5 and std from 1.0.
    The odds of given frames are not stated, and the 5 % of timesteps with much noise have no setting here.

    Cosmos-Predict2.5 (github.com/nvidia-cosmos/cosmos-predict2.5): logit-normal timesteps of mean 0 and std 1
    with shift 5, uniform weight of the velocity, 0, 1 and 2 given latent frames with odds 0.5, 0.25, 0.25.
    14B: a share of 0.05 in timesteps from 0.98, and given frames have the timestep of the clip. 2B: the
    timestep of given frames is 0.0001, as in the released post-trained model and in diffusers.
    """
    if network.extra_pos_embed_type is not None or network.base_fps is not None:
        training = {"loss_weight": "network_output", "timestep_mean": math.log(2), "timestep_std": 1.0}
        if network.concat_condition_mask:
            training["conditional_frames"] = (1.0, 1.0, 1.0)
            training["condition_timestep_mean"] = -3 + math.log(2)
            training["condition_timestep_std"] = 2.0
        diffusion = {"path": "edm", "preconditioning": "edm", "latent_scale": 0.5}
        return Family("Cosmos-Predict1", diffusion, training)
    if network.crossattn_proj_in_channels is not None:
        is_14b = network.num_layers == MODEL_CONFIGS["cosmos-predict2.5-14b"].num_layers
        training = {
            "loss_weight": "velocity",
            "conditional_frames": (0.5, 0.25, 0.25),
            "condition_timestep": 0.0 if is_14b else 1e-4,
            "flow_shift": 5.0,
            "high_noise_share": 0.05 if is_14b else 0.0,
            "timestep_mean": 0.0,
            "timestep_std": 1.0,
        }
        diffusion = {"path": "rectified_flow", "preconditioning": "velocity"}
        return Family("Cosmos-Predict2.5", diffusion, training)
    training = {"loss_weight": "velocity", "timestep_mean": math.log(4), "timestep_std": 1.2}
    diffusion = {"path": "edm", "preconditioning": "scaled_velocity"}
    return Family("Cosmos-Predict2", diffusion, training)
