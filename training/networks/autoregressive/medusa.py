"""Medusa heads: they predict the tokens after the next one, for speculative decoding.

Source: Cai et al. 2024, arXiv:2401.10774; merged into one matrix and with a shared unembedding as in Agarwal
et al. 2025, arXiv:2501.03575, section 6.
"""

import torch
from torch import Tensor, nn

MAX_DRAFT_IDS = 4096


class MedusaHeads(nn.Module):
    """Head i, from 1, gives hidden values that predict the token i places after the next one.

    A head is one residual layer, x + silu(W x). W begins at zero, so that an untrained head predicts what the
    network predicts for the next token. All heads share the output of the network.

    Args:
        hidden_size: Width of the hidden values.
        heads: Number of heads.
    """

    def __init__(self, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.merged = nn.Linear(hidden_size, heads * hidden_size, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set W to zero."""
        self.merged.weight.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden values of each head [b n heads d], from those after the last norm [b n d]."""
        change: Tensor = nn.functional.silu(self.merged(hidden))
        return hidden[..., None, :] + change.reshape(*hidden.shape[:-1], self.heads, -1)


def choose_draft_ids(frequencies: Tensor) -> Tensor:
    """The ids that heads propose: the most frequent ones, of those that occur, in rising order [m].

    Proposing only these costs less, and decoding has the same result. Source: Zhao et al. 2025,
    arXiv:2502.14856.

    Args:
        frequencies: Share of each id in the training data, [vocab_size]. Zeros: none is known, all may occur.
    """
    known = int((frequencies > 0).sum()) or len(frequencies)
    return frequencies.topk(min(known, MAX_DRAFT_IDS)).indices.sort().values
