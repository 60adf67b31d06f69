"""The latents of the video that a discrete tokenizer decodes: the first guess of a diffusion decoder.

The decoder then denoises the difference to them, in units of its standard deviation per channel. In these
units an error costs about as much in the video whichever channel has it, because the discrete tokenizer keeps
best what matters most in a video. Source: Mardani et al. 2023, arXiv:2309.15214, section 3.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from training.data.batches import LatentBatch
from training.data.latent_statistics import normalize
from training.tensors import Indices, Latents
from training.tokenizer import DiscreteTokenizer, Tokenizer

MAX_CACHED_BYTES = 2**30


class CodeLatents:
    """Decodes codes with their tokenizer, and encodes the video with the tokenizer of the latents.

    The results of the last clips are kept in main memory, so that a small set of clips is decoded only once.

    Args:
        code_tokenizer: The tokenizer of the codes.
        tokenizer: The tokenizer of the latents.
        std: Standard deviation of each channel of the differences.
        statistics: The latents are normalized by these; {} leaves them as they are.
        device: Where the tokenizers compute.
    """

    def __init__(
        self,
        code_tokenizer: DiscreteTokenizer,
        tokenizer: Tokenizer,
        std: Sequence[float],
        statistics: Mapping[str, Any],
        device: torch.device | str = "cpu",
    ) -> None:
        self.code_tokenizer, self.tokenizer, self.statistics = code_tokenizer, tokenizer, statistics
        for each in (code_tokenizer, tokenizer):
            if isinstance(each, torch.nn.Module):
                each.to(device).eval()
        self.std = torch.tensor(list(std))
        self._cache: OrderedDict[bytes, Latents] = OrderedDict()
        self._cached_bytes = 0

    def __call__(self, codes: Indices) -> Latents:
        """Codes [b t h w] to normalized latents [b c t h w], float32 on the device of the codes."""
        return torch.cat([self._latents(clip[None]) for clip in codes])

    def to_differences(self, batch: LatentBatch) -> LatentBatch:
        """The batch with differences in place of its latents, and with `conditioning.code_latents`.

        Raises:
            ValueError: The batch has no codes.
        """
        if batch.conditioning.codes is None:
            raise ValueError("the batch has no codes")
        guess = self(batch.conditioning.codes)
        return batch._replace(
            latents=self.difference(batch.latents, guess),
            conditioning=replace(batch.conditioning, code_latents=guess),
        )

    def difference(self, latents: Latents, guess: Latents) -> Latents:
        """What the decoder denoises: (latents - guess) / std, [b c t h w]."""
        return (latents - guess) / self.std.to(latents.device)[:, None, None, None]

    def latents(self, difference: Latents, guess: Latents) -> Latents:
        """The inverse of `difference`."""
        return difference * self.std.to(difference.device)[:, None, None, None] + guess

    @torch.no_grad()
    def _latents(self, codes: Indices) -> Latents:
        key = codes.cpu().numpy().tobytes() + repr(tuple(codes.shape)).encode()
        latents = self._cache.get(key)
        if latents is None:
            video = self.code_tokenizer.decode_indices(codes).clamp(-1, 1)
            latents = normalize(self.tokenizer.encode(video).float(), self.statistics).cpu()
            self._cache[key] = latents
            self._cached_bytes += latents.nbytes
            while self._cached_bytes > MAX_CACHED_BYTES:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        else:
            self._cache.move_to_end(key)
        return latents.to(codes.device)
