"""What codes can be predicted without a model: from their frequencies, and from the latent frame before."""

import torch
from torch import Tensor

from training.data.shards import LatentShards
from training.evaluation.clips import EvaluationClips

MAX_CLIPS = 2000  # of which the codes are counted, evenly spaced over all shards
WEIGHTS = torch.linspace(-6, 6, 25, dtype=torch.float64).sigmoid()  # weights of mixtures that are tried


def count_tokens(shards: LatentShards, codebook_size: int, rank: int = 0, num_ranks: int = 1) -> Tensor:
    """How often each id occurs in the clips of this rank, int64 [codebook_size]. Padding is not counted."""
    counts = torch.zeros(codebook_size, dtype=torch.int64)
    for batch in EvaluationClips(shards, MAX_CLIPS).batches(8, rank, num_ranks):
        clips = batch.clips.latents[: len(batch.datasets), 0]
        mask = batch.clips.conditioning.padding_mask
        ids = clips if mask is None else clips[(mask[: len(clips)] == 0).expand_as(clips)]
        counts += torch.bincount(ids.flatten(), minlength=codebook_size)
    return counts


class Baselines:
    """Cross-entropies of two predictions without a model, in nats.

    unigram: the frequencies of the ids in the training data, mixed with equal ones. copy: the id at the same
    place of the latent frame before, mixed with the unigram prediction. The weights of the mixtures are those
    that fit the evaluated clips best, so that the baselines are as good as they can be.

    Args:
        frequencies: Share of each id in the training data, [codebook_size].
    """

    def __init__(self, frequencies: Tensor) -> None:
        self.frequencies, self.codebook_size = frequencies.double(), len(frequencies)

    def sums(self, ids: Tensor, previous: Tensor, counted: Tensor) -> Tensor:
        """The sums of -log p for each pair of weights, of unigram and of copy: [25 26] of ids [n].

        Column 0 is the unigram prediction, and column 1 + k the copy with weight k.

        Args:
            ids: The ids.
            previous: The ids in the latent frame before; -1 in the first latent frame, which has no copy.
            counted: True for ids that count.
        """
        ids, previous = ids[counted].cpu(), previous[counted].cpu()
        weights = WEIGHTS[:, None]
        unigram = weights * self.frequencies[ids] + (1 - weights) / self.codebook_size  # [25 n]
        is_copy, has_copy = (ids == previous).double(), (previous >= 0).double()
        columns = [-unigram.log().sum(1)]
        for weight in WEIGHTS:
            share = weight * has_copy
            columns.append(-(share * is_copy + (1 - share) * unigram).log().sum(1))
        return torch.stack(columns, 1)
