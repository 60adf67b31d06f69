"""The autoregressive transformer: published sizes, the cache, positions, and equal weights in any layout."""

import pytest
import torch

from training.diffusion.conditioning import Conditioning
from training.networks.autoregressive.cache import KeyValueCache
from training.networks.autoregressive.config import AUTOREGRESSIVE_CONFIGS, AutoregressiveConfig
from training.networks.autoregressive.embedding import LevelHead
from training.networks.autoregressive.positions import compute_positions, extend
from training.networks.autoregressive.transformer import AutoregressiveTransformer
from training.token_model import TokenModel

PUBLISHED = {"4b": 4_014_088_192, "5b": 4_584_845_312, "12b": 11_560_975_360, "13b": 13_323_125_760}
SHAPE = AutoregressiveConfig(vocab_size=60, hidden_size=48, num_hidden_layers=2, fsq_levels=(5, 4, 3))
GRID = (2, 3)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_published_sizes_have_exactly_their_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = AutoregressiveTransformer(AUTOREGRESSIVE_CONFIGS[name])
    assert sum(p.numel() for p in network.parameters()) == parameters


@torch.inference_mode()
@pytest.mark.parametrize("absolute", [False, True])
def test_a_cache_that_grows_and_is_truncated_gives_the_hidden_values_of_one_pass(absolute: bool) -> None:
    config = AutoregressiveConfig(vocab_size=60, text_embed_dim=16, absolute_positions=absolute)
    network = AutoregressiveTransformer(config).eval()
    assert isinstance(network, TokenModel)
    tokens = torch.randint(0, 60, (2, 25), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = network.vocab_size
    text_mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    conditioning = Conditioning(text_embeddings=torch.randn(2, 4, 16), text_mask=text_mask)
    whole = network(tokens, GRID, conditioning)
    cache, parts, place = KeyValueCache(), [], 0
    for count, kept in ((7, 7), (1, 1), (1, 1), (6, 2), (10, 10), (4, 4)):
        part = network(tokens[:, place : place + count], GRID, conditioning, start=place, cache=cache)
        cache.truncate(place + kept)
        place += kept
        parts.append(part[:, :kept])
    assert cache.length == place == 25
    assert (torch.cat(parts, 1) - whole).abs().max() < 1e-5
    assert network.logits(whole).shape == (2, 25, 60)
    with pytest.raises(ValueError, match="25 places are in the cache"):
        network(tokens[:, :1], GRID, conditioning, start=3, cache=cache)


@torch.inference_mode()
def test_no_token_depends_on_a_later_one_and_a_clip_without_text_on_none() -> None:
    network = AutoregressiveTransformer(SHAPE).eval()
    tokens = torch.arange(13)[None] % 60
    first = network(tokens, GRID, Conditioning())
    tokens[:, 8:] = 7
    assert torch.equal(first[:, :8], network(tokens, GRID, Conditioning())[:, :8])
    without = Conditioning(text_embeddings=torch.randn(1, 3, 128), text_mask=torch.ones(1, 3)).without_text()
    assert torch.allclose(network(tokens, GRID, without), network(tokens, GRID, Conditioning()), atol=1e-6)


def test_the_probabilities_of_ids_are_those_of_their_levels() -> None:
    network = AutoregressiveTransformer(SHAPE)
    assert isinstance(network.output, LevelHead)
    hidden = torch.randn(4, 60, SHAPE.hidden_size)
    ids = torch.arange(60).expand(4, -1)
    log_probs, normalizer = network.log_probs(hidden[:, :1].expand(-1, 60, -1), ids)
    logits = network.logits(hidden[:, :1])[:, 0]
    assert torch.allclose(logits, log_probs, atol=1e-5)
    assert torch.allclose(logits.logsumexp(-1), normalizer[:, 0], atol=1e-5)
    rows = network.tok_embeddings(torch.arange(61))
    weight = network.tok_embeddings.weight
    assert torch.allclose(rows[1] - rows[0], weight[1] - weight[0], atol=1e-5)  # varies fastest
    assert torch.allclose(rows[5] - rows[0], weight[6] - weight[5], atol=1e-5)
    assert torch.equal(rows[60], weight[-1])  # <bov> has no code


def test_yarn_stretches_the_slow_wavelengths_of_time_alone() -> None:
    frequencies = torch.tensor([10.0, 0.1])
    assert torch.equal(extend(frequencies, 3, 6), torch.tensor([10.0, 0.05]))
    plain, extended = (
        compute_positions(AutoregressiveConfig(**frames), 2, (2, 2), torch.device("cpu")).rotary[0][0]
        for frames in ({}, {"original_latent_frames": 3, "max_latent_frames": 6})
    )
    time = 6  # pairs of the time axis of heads of 32 values
    assert torch.equal(plain[:, time:], extended[:, time:])
    assert not torch.equal(plain[5:, :time], extended[5:, :time])
    assert torch.equal(plain[0], torch.ones(16))  # <bov> is not rotated
    assert torch.equal(plain[1], torch.ones(16))  # nor is the first latent


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head_dim": 17}, "head_dim is 17"),
        ({"num_key_value_heads": 3}, "cannot share 3"),
        ({"fsq_levels": (8, 8)}, "do not make 64000"),
        ({"original_latent_frames": 6, "max_latent_frames": 3}, "max_latent_frames is 3"),
    ],
)
def test_a_config_that_cannot_be_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoregressiveConfig(**values)  # type: ignore[arg-type]
