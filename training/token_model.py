"""The contract of a token model: the network of an autoregressive world model."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from training.diffusion.conditioning import Conditioning
from training.networks.autoregressive.cache import KeyValueCache


@runtime_checkable
class TokenModel(Protocol):
    """Predicts each token of a video from those before it.

    A sequence has the ids of the latent frames in the order t, h, w, after the token <bov> if `bos`. The
    number of a token in the sequence is its place.

    Attributes:
        vocab_size: Ids that can be predicted: 0..vocab_size - 1.
        hidden_size: Width of the hidden values.
        bos: A sequence begins with <bov>, whose id is vocab_size. It is never predicted.
    """

    vocab_size: int
    hidden_size: int
    bos: bool

    def __call__(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        conditioning: Conditioning,
        *,
        start: int = 0,
        cache: KeyValueCache | None = None,
        embedding_scale: Tensor | None = None,
    ) -> Tensor:
        """The hidden values after the last norm, [b n d]. Those at a place predict the token of the next.

        Args:
            tokens: Ids at the places start..start + n - 1, int64 [b n].
            grid: Height and width of a latent frame.
            conditioning: The text.
            start: Place of the first token. Without a cache it is 0.
            cache: Has the keys and values of the places before `start`, and gets those of the new tokens,
                which are causal among themselves. It also keeps the keys and values of the text.
            embedding_scale: Factor of the embeddings of the tokens, [b n d]: dropout in training.

        Raises:
            ValueError: `start` is not the length of the cache.
        """
        ...

    def logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """The logits of the next token, float32 [… vocab_size], or only of some ids, [… ids]."""
        ...

    def log_probs(self, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """log p of ids [b n] as the next tokens, and the logsumexp of all logits, float32 [b n].

        It may cost less than `logits`.
        """
        ...
