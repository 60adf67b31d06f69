"""A video diffusion model: the network of its denoiser, and the text encoder that is trained with it."""

from torch import nn

from training.diffusion.config import DiffusionConfig
from training.diffusion.denoiser import FrozenDenoiser, PreconditionedDenoiser
from training.errors import SettingError
from training.networks.lora import zero_lora
from training.networks.registry import NetworkConfig, build_network
from training.objectives.group_policy import ScoreLatents
from training.objectives.uncertainty import UncertaintyHead
from training.text_encoders.byte_level import ByteLevelTextEncoder
from training.tokenizers.code_latents import CodeLatents

MAX_BYTE_LEVEL_DIM = 4096


class WorldModel(nn.Module):
    """Everything that a training changes and a model file stores.

    Attributes:
        network: The network of the denoiser.
        text_encoder: The text encoder that is trained with the network. None if captions are encoded by a
            pretrained encoder, or not used.
        uncertainty: The uncertainty head of the training; None without one, and in models that are loaded.
        teacher: The teacher of a distillation; None without one.
        reward: Scores latents, in a fine-tuning by a reward; None without one.
        code_latents: Computes `Conditioning.code_latents`, for a network that reads them; None for others.

    Args:
        network: The config of the network.
        diffusion: The diffusion process.
        text_encoder: "byte_level", or any other name for none that is trained.
        seed: Seed of the initial weights.

    Raises:
        SettingError: The byte-level text encoder cannot be as wide as the text embeddings of the network.
    """

    def __init__(
        self, network: NetworkConfig, diffusion: DiffusionConfig, text_encoder: str, seed: int = 0
    ) -> None:
        super().__init__()
        if text_encoder == "byte_level" and network.text_input_dim > MAX_BYTE_LEVEL_DIM:
            raise SettingError(
                f"the network reads text embeddings of {network.text_input_dim} values, and the byte-level"
                f" text encoder makes at most {MAX_BYTE_LEVEL_DIM}",
                remedy="set text_encoder to the folder or hub name of a pretrained encoder, or to none",
            )
        self.diffusion = diffusion
        self.network = build_network(network, seed)
        self.uncertainty: UncertaintyHead | None = None
        self.teacher: FrozenDenoiser | None = None
        self.reward: ScoreLatents | None = None
        self.code_latents: CodeLatents | None = None
        self.text_encoder = (
            ByteLevelTextEncoder(network.text_input_dim, seed) if text_encoder == "byte_level" else None
        )

    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`, or of a sharded model this rank's part of them."""
        self.network.reset_parameters(seed)
        zero_lora(self.network)
        if self.text_encoder is not None:
            self.text_encoder.reset_parameters(seed)
        if self.uncertainty is not None:
            self.uncertainty.reset_parameters()

    @property
    def denoiser(self) -> PreconditionedDenoiser:
        """The denoiser, which shares the weights of the network."""
        return PreconditionedDenoiser(
            self.network,
            self.diffusion.build_path(),
            self.diffusion.build_preconditioning(),
            self.diffusion.has_frame_timesteps,
            self.diffusion.given_residual,
        )
