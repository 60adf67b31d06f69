"""From the hidden values of a token model to tokens, with guidance."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.decoding.token_sampler import TokenSampler
from training.diffusion.conditioning import Conditioning
from training.token_model import TokenModel


@dataclass(frozen=True)
class TokenChoice:
    """Chooses the tokens of samples. Plain and speculative decoding, and drafts, choose by the same rule.

    Attributes:
        model: The token model.
        sampler: Chooses a token by its logits.
        guidance_scale: Scale of classifier-free guidance, without + scale * (with - without), of the logits
            with and without text; 1 is none.
    """

    model: TokenModel
    sampler: TokenSampler
    guidance_scale: float = 1.0

    def __call__(self, hidden: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        """The tokens [b n].

        Args:
            hidden: Hidden values [b n d] that predict them. Of guided samples [2b n d]: those without text
                last.
            samples: Number of each sample, int64 [b].
            places: Places of the tokens in the video, int64 [n].
        """
        return self.by_logits(self.model.logits(hidden), samples, places)

    def by_logits(self, logits: Tensor, samples: Tensor, places: Tensor, ids: Tensor | None = None) -> Tensor:
        """The tokens [b n], by the logits [b n v] or, of guided samples, [2b n v], of `ids` [v] or of all."""
        if len(logits) > len(samples):
            with_text, without = logits.chunk(2)
            logits = torch.lerp(without, with_text, self.guidance_scale)
        return self.sampler(logits, samples, places, ids)

    def conditioning(self, conditioning: Conditioning) -> Conditioning:
        """The conditioning of the forward pass: with guidance, the samples with text and then without."""
        text = conditioning.text_embeddings
        if self.guidance_scale == 1 or text is None:
            return conditioning
        without = conditioning.without_text()
        pairs = [(text, without.text_embeddings), (conditioning.text_mask, without.text_mask)]
        embeddings, mask = (None if a is None or b is None else torch.cat([a, b]) for a, b in pairs)
        return replace(conditioning, text_embeddings=embeddings, text_mask=mask)
