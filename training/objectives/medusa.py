"""The objective of Medusa heads: the cross-entropy of the token that each head predicts.

Source: Cai et al. 2024, arXiv:2401.10774, section 2.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.autoregressive.model import AutoregressiveModel
from training.networks.autoregressive.medusa import choose_draft_ids
from training.noise import uniform
from training.objective import Loss
from training.objectives.next_token import NextToken, Prediction, TokenBatch

DECAY = 0.8
MAX_PLACES = 256  # places of a clip at which the heads are trained in a step
CHUNK_PLACES = 256  # places whose logits are in memory together


@dataclass(frozen=True)
class Medusa:
    """The sum over heads of 0.8^i times the cross-entropy of head i, from 1, over counted tokens.

    Only ids that a head may propose count. `Loss.parts` has "medusa_loss", and the accuracy of each head as
    "medusa_accuracy/1" and so on.

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
        entropies, accuracies = self._heads(prediction, batch)
        factors = DECAY ** torch.arange(1, len(entropies) + 1, device=entropies.device)
        total = (factors * entropies).sum()
        parts = {f"medusa_accuracy/{number}": value for number, value in enumerate(accuracies.detach(), 1)}
        parts["medusa_loss"] = total.detach()
        if not self.trains_network:
            return Loss(total, parts)
        loss = self.next_token.loss(prediction, batch)
        return Loss(loss.total + total, {**loss.parts, **parts})

    def _heads(self, prediction: Prediction, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """The cross-entropy and the accuracy of each head [heads], means over clips."""
        heads = self.model.medusa
        assert heads is not None
        hidden, targets, counted = prediction
        ids = choose_draft_ids(self.model.token_frequencies)
        number_of = torch.full((self.model.network.vocab_size,), -1, device=ids.device)
        number_of[ids] = torch.arange(len(ids), device=ids.device)
        places = self._places(targets.shape[1], batch).to(hidden.device)  # [b m]
        after = places[..., None] + torch.arange(1, heads.heads + 1, device=hidden.device)  # [b m heads]
        is_inside = after < targets.shape[1]
        rows = torch.arange(len(targets), device=hidden.device)[:, None, None]
        after = after.where(is_inside, 0)
        expected = number_of[targets[rows, after]]
        weights = (is_inside & counted[rows, after] & (expected >= 0)).float()
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1) / len(targets)
        chosen = hidden[rows[..., 0], places].flatten(0, 1)
        parts = zip(
            *(each.split(CHUNK_PLACES) for each in (chosen, expected.flatten(0, 1), weights.flatten(0, 1))),
            strict=True,
        )
        sums = [checkpoint(self._chunk_sums, ids, *part, use_reentrant=False) for part in parts]
        entropies, accuracies = torch.stack(sums).sum(0)
        return entropies, accuracies

    def _chunk_sums(self, ids: Tensor, hidden: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
        """The weighted sums of cross-entropy and accuracy of each head, [2 heads]."""
        assert self.model.medusa is not None
        drafted = self.model.medusa(hidden)  # [m heads d]
        logits = (drafted @ self.model.network.output_rows(ids).to(drafted.dtype).T).float()
        entropy = nn.functional.cross_entropy(
            logits.flatten(0, 1), expected.clamp(min=0).flatten(), reduction="none"
        ).reshape(expected.shape)
        is_right = (logits.detach().argmax(-1) == expected).float()
        return torch.stack([(weights * entropy).sum(0), (weights * is_right).sum(0)])

    def _places(self, tokens: int, batch: TokenBatch) -> Tensor:
        """Evenly spaced places of each clip, from a random one, [b m]."""
        count = min(tokens, MAX_PLACES)
        first = uniform(self.next_token.seed, "medusa places", batch.positions)  # [b]
        places = (torch.arange(count) + first[:, None]) * (tokens / count)
        return places.long().clamp(max=tokens - 1)
