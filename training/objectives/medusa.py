"""The objective of Medusa heads: the cross-entropy of the token that each head predicts.

Source: Cai et al. 2024, arXiv:2401.10774, section 2.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.autoregressive.model import AutoregressiveModel
from training.noise import uniform
from training.objective import Loss
from training.objectives.next_token import NextToken, Prediction, TokenBatch

DECAY = 0.8
MAX_PLACES = 256  # places of a clip at which the heads are trained in a step
CHUNK_PLACES = 128  # places whose logits are in memory together, of all heads


@dataclass(frozen=True)
class Medusa:
    """The sum over heads of 0.8^i times the cross-entropy of head i, from 1, over counted tokens.

    `Loss.parts` has "medusa_loss", and the cross-entropy of each head as "medusa_cross_entropy/1" and so on.

    Attributes:
        next_token: Gives the hidden values.
        model: The model, with heads.
        trains_network: Whether a part of the network is trained with the heads. The loss then includes that
            of the next token.
    """

    next_token: NextToken
    model: AutoregressiveModel
    trains_network: bool = False

    def __call__(self, batch: TokenBatch, step: int) -> Loss:
        with torch.set_grad_enabled(self.trains_network and torch.is_grad_enabled()):
            prediction = self.next_token.predict(batch)
        entropies = self._cross_entropies(prediction, batch)
        factors = DECAY ** torch.arange(1, len(entropies) + 1, device=entropies.device)
        total = (factors * entropies).sum()
        parts = {f"medusa_cross_entropy/{n}": value for n, value in enumerate(entropies.detach(), 1)}
        parts["medusa_loss"] = total.detach()
        if not self.trains_network:
            return Loss(total, parts)
        loss = self.next_token.loss(prediction, batch)
        return Loss(loss.total + total, {**loss.parts, **parts})

    def _cross_entropies(self, prediction: Prediction, batch: TokenBatch) -> Tensor:
        """The cross-entropy of each head [heads], the mean over clips."""
        heads = self.model.medusa
        assert heads is not None
        hidden, targets, counted = prediction
        places = self._places(targets.shape[1], batch).to(hidden.device)  # [b m]
        after = places[..., None] + torch.arange(1, heads.heads + 1, device=hidden.device)  # [b m heads]
        is_inside = after < targets.shape[1]
        rows = torch.arange(len(targets), device=hidden.device)[:, None, None]
        after = after.where(is_inside, 0)
        weights = (is_inside & counted[rows, after]).float()
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1) / len(targets)
        chosen = hidden[rows[..., 0], places], targets[rows, after], weights
        parts = zip(*(torch.split(each.flatten(0, 1), CHUNK_PLACES) for each in chosen), strict=True)
        sums = [checkpoint(self._chunk_sums, *part, use_reentrant=False) for part in parts]
        return torch.stack(sums).sum(0)

    def _chunk_sums(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The weighted sums of the cross-entropy of each head, [heads]."""
        assert self.model.medusa is not None
        log_probs, _ = self.model.network.log_probs(self.model.medusa(hidden), targets)
        return -(weights * log_probs).sum(0)

    def _places(self, tokens: int, batch: TokenBatch) -> Tensor:
        """Evenly spaced places of each clip, from a random one, [b m]."""
        count = min(tokens, MAX_PLACES)
        first = uniform(self.next_token.seed, "medusa places", batch.positions)  # [b]
        places = (torch.arange(count) + first[:, None]) * (tokens / count)
        return places.long().clamp(max=tokens - 1)
