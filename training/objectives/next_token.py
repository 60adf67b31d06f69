"""The next-token objective: cross-entropy and z-loss over the tokens that are to be predicted.

Source: Chowdhery et al. 2022, arXiv:2204.02311, section 5 (z-loss); Agarwal et al. 2025, arXiv:2501.03575,
section 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.diffusion.conditioning import Conditioning
from training.noise import uniform
from training.objective import Loss
from training.objectives.given_frames import draw_given_frames
from training.text_encoder import TextEncoder, add_text
from training.token_model import TokenModel

CHUNK_TOKENS = 1024  # tokens whose logits are in memory together


class TokenBatch(Protocol):
    """A batch of clips: positions in the stream, ids [b 1 t h w] int64, captions and conditioning."""

    @property
    def positions(self) -> Sequence[int]: ...
    @property
    def latents(self) -> Tensor: ...
    @property
    def captions(self) -> Sequence[str]: ...
    @property
    def conditioning(self) -> Conditioning: ...


class Prediction(NamedTuple):
    """Hidden values [b n d], the tokens that they predict [b n], and which of these count, bool [b n]."""

    hidden: Tensor
    targets: Tensor
    counted: Tensor


@dataclass(frozen=True)
class NextToken:
    """The loss of a clip: the mean over its counted tokens, which are neither of given frames nor of padding.

    `Loss.parts` has "cross_entropy", and "z_loss" without its weight.

    Attributes:
        network: The model that is trained.
        text_encoder: Encodes the captions of batches that have no text embeddings. None uses no text.
        text_dropout: Share of clips that lose their text, for classifier-free guidance.
        embedding_dropout: Share of the values of token embeddings that are dropped.
        conditional_frames: Odds of each number of latent frames that are given at the start of a clip;
            numbers that leave no frame to predict are not drawn.
        z_loss_weight: Factor of the mean of logsumexp(logits)^2.
        image_loss_scale: Factor of the loss of images: batches of one latent frame.
        seed: Seed of all random numbers.
    """

    network: TokenModel
    text_encoder: TextEncoder | None = None
    text_dropout: float = 0.1
    embedding_dropout: float = 0.0
    conditional_frames: Mapping[int, float] = field(default_factory=lambda: {0: 1.0})
    z_loss_weight: float = 1e-4
    image_loss_scale: float = 1.0
    seed: int = 0

    def __call__(self, batch: TokenBatch, step: int) -> Loss:
        return self.loss(self.predict(batch), batch)

    def predict(self, batch: TokenBatch) -> Prediction:
        """The hidden values that predict the tokens of a batch."""
        frames = batch.latents.shape[2]
        given = draw_given_frames(self.conditional_frames, frames, self.seed, batch.positions)
        counted = counted_tokens(batch, given)
        inputs, targets = sequences(self.network, batch.latents)
        counted = counted[:, -targets.shape[1] :]
        scale = self._embedding_scale(batch, inputs)
        hidden = self.network(
            inputs,
            (batch.latents.shape[3], batch.latents.shape[4]),
            self._conditioning(batch),
            embedding_scale=scale,
        )
        return Prediction(hidden, targets, counted)

    def loss(self, prediction: Prediction, batch: TokenBatch) -> Loss:
        """The loss of the predictions of a batch."""
        clips, frames = len(batch.latents), batch.latents.shape[2]
        hidden, targets, counted = prediction
        weights = counted / counted.sum(1, keepdim=True).clamp(min=1)
        chosen = counted.clone()
        chosen[0, -1] = True  # the output takes part on every rank, also without a counted token
        sums = self._sums(hidden[chosen], targets[chosen], weights[chosen]) / clips
        entropy, z_loss = sums
        factor = self.image_loss_scale if frames == 1 else 1.0
        parts = {"cross_entropy": entropy, "z_loss": z_loss}
        total = factor * (entropy + self.z_loss_weight * z_loss)
        return Loss(total, {name: value.detach() for name, value in parts.items()})

    def _sums(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The weighted sums of cross-entropy and z-loss over tokens, with the logits of few in memory."""
        parts = zip(*(torch.split(each, CHUNK_TOKENS) for each in (hidden, targets, weights)), strict=True)
        sums = [checkpoint(self._chunk_sums, *part, use_reentrant=False) for part in parts]
        return torch.stack(sums).sum(0)

    def _chunk_sums(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        log_probs, normalizer = self.network.log_probs(hidden, targets)
        return torch.stack([(weights * each).sum() for each in (-log_probs, normalizer.square())])

    def _conditioning(self, batch: TokenBatch) -> Conditioning:
        conditioning = add_text(batch.conditioning, self.text_encoder, batch.captions, batch.latents.device)
        drop = uniform(self.seed, "text dropout", batch.positions) < self.text_dropout
        return conditioning.without_text(drop)

    def _embedding_scale(self, batch: TokenBatch, inputs: Tensor) -> Tensor | None:
        """The factor of each value of the embeddings, [b n d]; None drops none."""
        if not self.embedding_dropout:
            return None
        shape = (inputs.shape[1], self.network.hidden_size)
        numbers = uniform(self.seed, "embedding dropout", batch.positions, shape, device=inputs.device)
        return (numbers >= self.embedding_dropout).float() / (1 - self.embedding_dropout)


def sequences(network: TokenModel, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The input [b n] and the targets [b n] of ids [b 1 t h w]. Without <bov> the first id is no target."""
    tokens = ids.flatten(1)
    if network.bos:
        start = torch.full_like(tokens[:, :1], network.vocab_size)
        return torch.cat([start, tokens[:, :-1]], 1), tokens
    return tokens[:, :-1], tokens[:, 1:]


def counted_tokens(batch: TokenBatch, given_frames: Tensor) -> Tensor:
    """True for the ids of frames that are not given and not of padding, [b t*h*w]."""
    b, _, t, h, w = batch.latents.shape
    is_counted = (torch.arange(t) >= given_frames[:, None]).to(batch.latents.device)
    is_counted = is_counted[:, :, None, None].expand(b, t, h, w)
    if batch.conditioning.padding_mask is not None:
        is_counted = is_counted & (batch.conditioning.padding_mask == 0)
    return is_counted.flatten(1)
