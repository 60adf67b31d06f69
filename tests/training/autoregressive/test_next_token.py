"""The next-token objective, and what is counted: a model of known probabilities on known ids."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.autoregressive.toy_codes import toy_clip, write_codes
from training.data.batches import LatentBatch
from training.data.shards import LatentShards
from training.diffusion.conditioning import Conditioning
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate_tokens import TokenEvaluator
from training.evaluation.token_baselines import Baselines, count_tokens
from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.autoregressive.transformer import AutoregressiveTransformer
from training.objectives import next_token
from training.objectives.next_token import NextToken
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer

CONFIG = AutoregressiveConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1, text_embed_dim=0)


def batch(clips: int = 3, frames: int = 3, padding: Tensor | None = None) -> LatentBatch:
    ids = torch.stack([toy_clip(n, (frames, 2, 3)) for n in range(clips)]).long()
    names = tuple(map(str, range(clips)))
    return LatentBatch(names, tuple(range(clips)), ids, names, Conditioning(padding_mask=padding))


def entropies(network: AutoregressiveTransformer, clips: LatentBatch) -> Tensor:
    """-log p of each id [b t h*w], from all logits at once."""
    ids = clips.latents.flatten(1)
    inputs = torch.cat([torch.full_like(ids[:, :1], 40), ids[:, :-1]], 1)
    logits = network.logits(network(inputs, (2, 3), Conditioning()))
    entropy = nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
    return torch.stack([entropy, logits.logsumexp(-1).square()]).unflatten(-1, (-1, 6))


def test_only_tokens_that_are_neither_given_nor_padding_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_token, "CHUNK_TOKENS", 5)  # several chunks
    network = AutoregressiveTransformer(CONFIG)
    padding = torch.zeros(3, 1, 2, 3)
    padding[0, :, :, 2] = 1
    clips = batch(padding=padding)
    entropy, z_loss = entropies(network, clips)
    counted = (padding.flatten(1) == 0)[:, None] & (torch.arange(3) >= 1)[None, :, None]
    means = [((each * counted).sum((1, 2)) / counted.sum((1, 2))).mean() for each in (entropy, z_loss)]
    loss = NextToken(network, conditional_frames={1: 1.0}, z_loss_weight=0.5)(clips, 0)
    assert torch.allclose(loss.parts["cross_entropy"], means[0], atol=1e-5)
    assert torch.allclose(loss.total, means[0] + 0.5 * means[1], atol=1e-4)
    loss.total.backward()  # type: ignore[no-untyped-call]
    expected = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    (means[0] + 0.5 * means[1]).backward()
    for got, parameter in zip(expected, network.parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.allclose(got, parameter.grad, atol=1e-5)


def test_a_batch_that_is_padding_alone_has_a_loss_of_zero_and_a_gradient_for_each_weight() -> None:
    network = AutoregressiveTransformer(CONFIG)
    loss = NextToken(network)(batch(padding=torch.ones(3, 1, 2, 3)), 0)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert float(loss.total.detach()) == 0
    assert all(p.grad is not None and not p.grad.any() for p in network.parameters())


def test_given_frames_and_dropout_depend_on_the_positions_of_the_clips_alone() -> None:
    network = AutoregressiveTransformer(CONFIG)
    objective = NextToken(
        network, conditional_frames={0: 0.4, 1: 0.4, 2: 0.2}, embedding_dropout=0.3, text_dropout=0.5
    )
    clips = batch(4)
    whole = objective(clips, 0).total
    parts = []
    for n in range(4):
        part = LatentBatch(("x",), (n,), clips.latents[n : n + 1], ("x",), Conditioning())
        parts.append(objective(part, 5).total)
    assert torch.allclose(whole, torch.stack(parts).mean(), atol=1e-5)


def test_every_id_of_the_tokenizer_survives_the_shard_and_has_a_row_of_its_own(tmp_path: Path) -> None:
    ids = torch.arange(64000, dtype=torch.int32).reshape(1, 1, 250, 256)
    tokenizer = load_tokenizer("small-discrete")
    assert isinstance(tokenizer, CausalTokenizer)
    assert tokenizer.fsq is not None
    codes = tokenizer.fsq.to_codes(ids)
    assert torch.equal(tokenizer.fsq.to_indices(codes), ids)
    shards = LatentShards([write_codes(tmp_path / "all.tar", {"all": ids.to(torch.uint16)})])
    (read,) = [each.clips for each in EvaluationClips(shards, 1).batches(1)]
    assert read.latents.dtype == torch.int64
    assert torch.equal(read.latents[0], ids.long())
    rows = AutoregressiveTransformer(AutoregressiveConfig(hidden_size=18, num_hidden_layers=0, bos=False))
    rows.tok_embeddings.weight.data[:, 0] = torch.arange(64000)
    assert torch.equal(rows.tok_embeddings(read.latents.flatten(1))[0, :, 0].long(), ids.flatten().long())
    assert torch.equal(count_tokens(shards, 64000), torch.ones(64000, dtype=torch.int64))


class Half(nn.Module):
    """Gives the true id of the toy clips of one id a probability of 1/2, and the others the rest."""

    vocab_size, hidden_size, bos = 40, 1, True

    def forward(self, tokens: Tensor, grid: object, conditioning: object, **options: object) -> Tensor:
        return torch.zeros(*tokens.shape, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        out = torch.zeros(*hidden.shape[:-1], 40)
        out[..., 7] = math.log(39)
        return out

    def log_probs(self, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def test_an_evaluation_of_known_probabilities(tmp_path: Path) -> None:
    ids = torch.full((1, 3, 2, 3), 7, dtype=torch.int32)
    ids[0, 2, 0, 0] = 5
    shards = LatentShards(
        [write_codes(tmp_path / "known.tar", {"a": ids.to(torch.uint16)}, codebook_size=40)]
    )
    counts = count_tokens(shards, 40)
    evaluator = TokenEvaluator(Half(), EvaluationClips(shards, 8), Baselines(counts / counts.sum()))
    result = evaluator()
    entropy = (17 * math.log(2) + math.log(78)) / 18
    assert result.cross_entropy == pytest.approx(entropy)
    assert result.perplexity == pytest.approx(math.exp(entropy))
    assert result.accuracy == pytest.approx(17 / 18)
    assert [each.copy_accuracy for each in result.frames] == pytest.approx([0, 1, 5 / 6])
    assert result.codebook_use == pytest.approx(2 / 40)
    assert result.predicted_codebook_use == pytest.approx(1 / 40)
    pixels = 6 * 64 * (1 + 4 + 4)
    assert result.bits_per_pixel == pytest.approx(18 * entropy / math.log(2) / pixels)
    best = -(17 * math.log(17 / 18) + math.log(1 / 18)) / 18
    assert best <= result.unigram < best + 0.02
    assert result.copy < result.unigram + 1e-3
    assert "latent frame" in result.lines()[2]
