"""The choice of a token: a function of its logits, the seed, the sample and the place, and of nothing else.

A token is the argmax of log p + Gumbel noise, which has distribution p (Gumbel-max). The noise of an id is
fixed by (seed, sample, place, id), so the choice does not depend on the batch, on the ranks, or on how many
tokens are decoded at once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from manifests import NonNegativeFloat, NonNegativeInt, Share
from training.errors import SettingError
from training.noise import uniform, uniform_at
from training.settings.check import check_settings

MAX_SAMPLES = 2**31
MAX_PLACES = 2**32  # tokens of a sample
_PURPOSE = "token"
_FIRST_COUNT = 256  # largest logits that are looked at first
_GROWTH = 16


@dataclass(frozen=True, kw_only=True)
class TokenSampler:
    """Chooses tokens: temperature, then top-k, then top-p, then Gumbel-max with fixed noise.

    Attributes:
        temperature: Divides the logits. Higher values give more varied tokens; 0 takes the most probable one.
        top_k: Keeps the ids of the k largest logits; 0 keeps all. Higher values give more varied tokens.
        top_p: Keeps the most probable ids, until their probabilities sum to this share. Higher values give
            more varied tokens; 1 keeps all.
        seed: Seed of the noise.

    Ids with a logit equal to the smallest that is kept are kept too.

    Raises:
        SettingError: A value is out of range.
    """

    temperature: NonNegativeFloat = 1.0
    top_k: NonNegativeInt = 0
    top_p: Share = 1.0
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        check_settings(self, {})
        if not self.top_p > 0:
            raise SettingError("top_p: 0 keeps no token", remedy="set it above 0, or temperature to 0")

    def __call__(self, logits: Tensor, samples: Tensor, places: Tensor, ids: Tensor | None = None) -> Tensor:
        """The token [b n] at each place.

        Args:
            logits: Unnormalized log-probabilities, float32 [b n v].
            samples: Number of each sample, int64 [b].
            places: Place of each token in its sample, int64 [n].
            ids: The ids that the logits are of, [v]; None is 0..v-1.
        """
        b, n, v = logits.shape
        rows = logits.reshape(b * n, v)
        if self.temperature == 0:
            chosen = rows.argmax(-1)
        else:
            positions = (samples[:, None] * MAX_PLACES + places).flatten()
            scaled = rows if self.temperature == 1 else rows / self.temperature
            chosen = self._choose(scaled, positions, ids)
        return (chosen if ids is None else ids[chosen]).reshape(b, n)

    def _choose(self, logits: Tensor, positions: Tensor, ids: Tensor | None) -> Tensor:
        if ids is None and self.top_p == 1 and not 0 < self.top_k < logits.shape[1]:
            numbers = uniform(self.seed, _PURPOSE, positions.tolist(), logits.shape[1:], device=logits.device)
            return (logits - (-numbers.log()).log()).argmax(-1)
        values, kept = self._largest(logits)
        places = kept if ids is None else ids[kept]
        grid = positions[:, None].expand_as(places)
        numbers = uniform_at(self.seed, _PURPOSE, grid.flatten(), places.flatten()).reshape(grid.shape)
        best = (values - (-numbers.log()).log()).argmax(-1, keepdim=True)
        return kept.gather(-1, best)[:, 0]

    def _largest(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The logits that are kept, [n k], largest first and -inf after the last of a row, and where."""
        vocabulary = logits.shape[1]
        total = logits.logsumexp(-1, keepdim=True) if self.top_p < 1 and not self.top_k else None
        count = min(max(_FIRST_COUNT, self.top_k + 1), vocabulary)
        while True:
            values, where = logits.topk(count)
            smallest = self._smallest_kept(values, total)
            if count == vocabulary or bool((values[:, -1:] < smallest).all()):  # else there may be more
                longest = int(torch.searchsorted(-values, -smallest, right=True).max())
                values = values[:, :longest]
                return values.masked_fill(values < smallest, -torch.inf), where[:, :longest]
            count = min(count * _GROWTH, vocabulary)

    def _smallest_kept(self, values: Tensor, total: Tensor | None) -> Tensor:
        """The smallest logit that is kept of each row [n 1], of its largest ones in falling order, [n k]."""
        if self.top_k:
            values = values[:, : self.top_k]
        if self.top_p == 1:
            return values[:, -1:]
        total = values.logsumexp(-1, keepdim=True) if total is None else total
        sums = (values - total).double().exp().cumsum(-1)
        count = torch.searchsorted(sums, sums.new_full((len(sums), 1), self.top_p))  # sums that are below it
        return values.gather(-1, count.clamp(max=values.shape[1] - 1))
