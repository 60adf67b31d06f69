"""An autoregressive world model: the network over tokens, and the text encoder that is trained with it."""

import torch
from torch import Tensor, nn

from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.autoregressive.medusa import MedusaHeads
from training.networks.autoregressive.transformer import AutoregressiveTransformer
from training.text_encoders.byte_level import ByteLevelTextEncoder


class AutoregressiveModel(nn.Module):
    """Everything that a training changes and a model file stores.

    Attributes:
        network: The `TokenModel`.
        text_encoder: The text encoder that is trained with the network. None if the network reads no text, or
            if captions are encoded by a pretrained encoder.
        medusa: Heads that propose tokens in speculative decoding; None without any.
        token_frequencies: Share of each id in the training data, float32 [vocab_size]; for the baselines of
            an evaluation, and the ids that heads propose.

    Args:
        network: The config of the network.
        text_encoder: "byte_level", or any other name for none that is trained.
        seed: Seed of the initial weights.
    """

    token_frequencies: Tensor

    def __init__(self, network: AutoregressiveConfig, text_encoder: str, seed: int = 0) -> None:
        super().__init__()
        self.network = AutoregressiveTransformer(network, seed)
        self.register_buffer("token_frequencies", torch.zeros(network.vocab_size))
        is_trained = text_encoder == "byte_level" and network.text_embed_dim > 0
        self.text_encoder = ByteLevelTextEncoder(network.text_embed_dim, seed) if is_trained else None
        heads = network.medusa_heads
        self.medusa = MedusaHeads(network.hidden_size, heads) if heads else None

    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`, or of a sharded model this rank's part of them."""
        self.network.reset_parameters(seed)
        if self.text_encoder is not None:
            self.text_encoder.reset_parameters(seed)
        if self.medusa is not None:
            self.medusa.reset_parameters()
