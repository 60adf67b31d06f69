"""An autoregressive transformer over the ids of a discrete tokenizer, in the order t, h, w.

Source: Agarwal et al. 2025, arXiv:2501.03575, section 6, and the parameters of the released checkpoints.
"""

import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.networks.autoregressive.block import EPS, Block, BlockInputs, causal_mask
from training.networks.autoregressive.cache import KeyValueCache
from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.autoregressive.embedding import LevelEmbedding, LevelHead
from training.networks.autoregressive.positions import PositionTable
from training.networks.initialization import fill_truncated_normal


class AutoregressiveTransformer(nn.Module):
    """A `TokenModel`.

    On the meta device it has no values: shard it, call `to_empty` and then `reset_parameters`.

    Args:
        config: The shape of the network.
        seed: Seed of the initial weights.
    """

    def __init__(self, config: AutoregressiveConfig, seed: int = 0) -> None:
        super().__init__()
        self.config, self.vocab_size, self.bos = config, config.vocab_size, config.bos
        self.hidden_size = config.hidden_size
        self.positions = PositionTable(config)
        levels, width = config.fsq_levels, config.hidden_size
        self.tok_embeddings = (
            LevelEmbedding(levels, width) if levels else nn.Embedding(config.input_rows, width)
        )
        self.layers = nn.ModuleList(Block(config, number) for number in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=EPS)
        self.output = (
            LevelHead(levels, width, config.output_mixtures)
            if levels
            else nn.Linear(width, config.vocab_size, bias=False)
        )
        self.reset_parameters(seed)

    @property
    def transformer_blocks(self) -> nn.ModuleList:
        """The blocks to shard, checkpoint and compile."""
        return self.layers

    @torch.no_grad()
    def reset_parameters(self, seed: int = 0) -> None:
        """Initialize all weights from `seed`, as torchtitan does.

        The values of a parameter depend on nothing but the seed and its name. Sharded parameters (DTensor)
        get their part of these values. On the meta device this does nothing.
        """
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if parameter.dim() == 1:  # the weight of a norm
                parameter.fill_(1)
            else:
                fill_truncated_normal(parameter, name, seed, self._std(name))

    def _std(self, name: str) -> float:
        """The standard deviation of the initial values of a matrix."""
        if name.startswith("tok_embeddings"):
            return float(max(1, len(self.config.fsq_levels)) ** -0.5)  # the sum of the rows of an id has 1
        if name.startswith("output"):
            return float(self.config.hidden_size**-0.5)
        is_scaled = name.endswith(("wo.weight", "w2.weight", "w3.weight"))
        return 0.02 / (2 * (int(name.split(".")[1]) + 1)) ** 0.5 if is_scaled else 0.02

    def forward(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        conditioning: Conditioning,
        *,
        start: int = 0,
        cache: KeyValueCache | None = None,
        embedding_scale: Tensor | None = None,
    ) -> Tensor:
        """The hidden values [b n d]; see `training.token_model.TokenModel`."""
        past = 0 if cache is None else cache.length
        if start != past:
            raise ValueError(f"the tokens begin at the place {start}, and {past} places are in the cache")
        count = tokens.shape[1]
        x: Tensor = self.tok_embeddings(tokens)
        x = x if embedding_scale is None else x * embedding_scale.to(x.dtype)
        text, mask = self._text(conditioning, x)
        inputs = BlockInputs(
            self.positions(start, start + count, grid, x.device),
            start,
            causal_mask(start, count, x.device),
            text,
            mask,
            cache,
        )
        for block in self.layers:
            x = block(x, inputs)
        if cache is not None:
            cache.length = start + count
        out: Tensor = self.norm(x)
        return out

    def logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """The logits of the next token, float32 [… vocab_size], or only of some ids, [… ids]."""
        if isinstance(self.output, LevelHead):
            return self.output.logits(hidden, ids)
        if ids is not None:
            return nn.functional.linear(hidden, self.output.weight[ids]).float()
        out: Tensor = self.output(hidden).float()
        return out

    def log_probs(self, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """log p of ids […] as the next tokens, and the logsumexp of the logits, float32."""
        if isinstance(self.output, LevelHead):
            log_probs = self.output.log_probs(hidden, ids)
            return log_probs, torch.zeros_like(log_probs)
        logits = self.logits(hidden)
        normalizer = logits.logsumexp(-1)
        return logits.gather(-1, ids[..., None])[..., 0] - normalizer, normalizer

    def _text(self, conditioning: Conditioning, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The text embeddings, and which of them count. Without text it is one token of zeros."""
        if not self.config.text_embed_dim:
            return None, None
        text, mask = conditioning.text_embeddings, conditioning.text_mask
        if text is None:
            return x.new_zeros(len(x), 1, self.config.text_embed_dim), None
        if mask is not None:
            is_used = mask.bool()
            mask = (is_used | ~is_used.any(1, keepdim=True))[:, None, None]  # attention needs one token
        return text.to(x.dtype), mask
