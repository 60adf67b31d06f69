"""Decoding: a token is a function of seed, sample and place, for any batch, draft and filter."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from training.decoding.choice import TokenChoice
from training.decoding.decoder import Decoder, Draft
from training.decoding.medusa_draft import MedusaDraft
from training.decoding.rollout import Rollout
from training.decoding.token_sampler import MAX_PLACES, TokenSampler
from training.diffusion.conditioning import Conditioning
from training.errors import SettingError
from training.networks.autoregressive.config import AutoregressiveConfig
from training.networks.autoregressive.medusa import MedusaHeads
from training.networks.autoregressive.transformer import AutoregressiveTransformer
from training.noise import uniform, uniform_at

GRID, FRAMES, IDS = (2, 3), 4, 64
ROLLOUT = Rollout(max_latent_frames=3)
SAMPLES = (0, 7, 2)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0},
    {"temperature": 1.5, "top_k": 5},
    {"top_p": 0.7, "seed": 3},
    {"top_p": 0.9, "guidance_scale": 3.0},
]


@pytest.fixture(scope="module")
def network() -> AutoregressiveTransformer:
    """Random weights, and logits that are not flat."""
    config = AutoregressiveConfig(
        vocab_size=IDS, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        head_dim=18, intermediate_size=48, text_embed_dim=16,
    )  # fmt: skip
    network = AutoregressiveTransformer(config, seed=1).eval().requires_grad_(False)
    network.output.weight *= 8
    return network


def choose(logits: Tensor, samples: Sequence[int], places: Sequence[int], sampler: TokenSampler) -> Tensor:
    return sampler(logits, torch.tensor(samples), torch.tensor(places))


def expected(logits: Tensor, position: int, sampler: TokenSampler) -> int:
    """The rule of the sampler for logits [v], written plainly."""
    if sampler.temperature == 0:
        return int(logits.argmax())
    logits = logits / sampler.temperature
    kept = torch.ones(len(logits), dtype=torch.bool)
    if sampler.top_k:
        kept &= logits >= logits.sort(descending=True).values[sampler.top_k - 1]
    p = logits.double().masked_fill(~kept, -math.inf).softmax(-1)
    order = p.argsort(descending=True, stable=True)
    last = int(((p[order].cumsum(-1) - p[order]) < sampler.top_p).sum()) - 1
    kept &= p >= p[order[last]] if sampler.top_p < 1 else kept
    numbers = uniform(sampler.seed, "token", [position], (len(logits),))[0]
    return int((logits - (-numbers.log()).log()).masked_fill(~kept, -math.inf).argmax())


@pytest.mark.parametrize(
    "sampler",
    [
        TokenSampler(),
        TokenSampler(temperature=0),
        TokenSampler(top_k=7, seed=5),
        TokenSampler(top_p=0.8, temperature=0.7),
        TokenSampler(top_p=0.999),
        TokenSampler(top_k=300, top_p=0.6),
    ],
)
def test_a_token_is_the_argmax_of_filtered_logits_and_fixed_noise(sampler: TokenSampler) -> None:
    logits = 2 * torch.randn(2, 6, 5000, generator=torch.Generator().manual_seed(0))
    logits[1, 3] = 0  # all ids are equal
    logits[1, 4, ::2] = 9  # many ids share the largest value
    got = choose(logits, [0, 4], range(10, 16), sampler)
    for row, sample in enumerate([0, 4]):
        for column in range(6):
            position = sample * MAX_PLACES + 10 + column
            assert got[row, column] == expected(logits[row, column], position, sampler)


def test_tokens_have_the_distribution_of_the_filtered_logits() -> None:
    logits = torch.tensor([2.0, 1, 0, -1, -1, 0.5]).expand(1, 20000, 6)
    for sampler, kept in ((TokenSampler(), 6), (TokenSampler(top_p=0.75), 3), (TokenSampler(top_k=2), 2)):
        shares = choose(logits, [1], range(20000), sampler).flatten().bincount(minlength=6) / 20000
        p = logits[0, 0].softmax(-1)
        p = torch.where(p >= p.sort(descending=True).values[kept - 1], p, 0)
        assert (shares - p / p.sum()).abs().max() < 0.012


def test_single_numbers_are_those_of_the_whole_tensor() -> None:
    whole = uniform(3, "a", [5, 2**40], (1001,))
    places = torch.tensor([0, 1, 2, 3, 999, 1000])
    assert torch.equal(uniform_at(3, "a", torch.full((6,), 2**40), places), whole[1, places])


def decode(
    network: AutoregressiveTransformer,
    samples: Sequence[int],
    draft: Draft | None,
    count: int,
    **settings: Any,
) -> Tensor:
    """Codes [b t h w] of some samples, each with its own text, over a seam between two chunks."""
    scale = settings.pop("guidance_scale", 1.0)
    text = torch.randn(8, 4, 16, generator=torch.Generator().manual_seed(2))[list(samples)]
    given = torch.arange(len(samples) * 6).reshape(-1, 1, *GRID) * 0 + torch.arange(6).reshape(GRID)
    choice = TokenChoice(network, TokenSampler(**settings), scale)
    decoder = Decoder(choice, GRID, Conditioning(text_embeddings=text), draft, count)
    return ROLLOUT(decoder, given, FRAMES, torch.tensor(samples))


class NoisyOracle:
    """Proposes the right tokens, but random ones at a share of the places."""

    def __init__(self, codes: dict[int, Tensor], share: float) -> None:
        self.codes, self.share, self.rng = codes, share, torch.Generator().manual_seed(0)

    def __call__(self, hidden: Tensor, samples: Tensor, places: Tensor) -> Tensor:
        right = torch.stack([self.codes[int(sample)].flatten()[places] for sample in samples])
        is_wrong = torch.rand(right.shape, generator=self.rng) < self.share
        return torch.where(is_wrong, torch.randint(0, IDS, right.shape, generator=self.rng), right)


def check_equal(network: AutoregressiveTransformer, settings: dict[str, Any], heads: Sequence[int]) -> None:
    """Any batch, and any number of tokens of any draft, give the tokens of plain decoding one by one."""
    plain = {sample: decode(network, [sample], None, 0, **settings)[0] for sample in SAMPLES}
    different = len({tuple(codes.flatten().tolist()) for codes in plain.values()})
    if settings.get("temperature") == 0:
        assert different == 1
    elif settings.get("top_p", 1.0) == 1:  # below 1, this network may keep one id at a place
        assert different == len(SAMPLES)
    stacked = torch.stack([plain[sample] for sample in SAMPLES])
    assert torch.equal(decode(network, SAMPLES, None, 0, **settings), stacked)
    for count in heads:
        for share in (1.0, 0.2, 0.0):
            draft = NoisyOracle(plain, share)
            assert torch.equal(decode(network, SAMPLES, draft, count, **settings), stacked)
            assert torch.equal(decode(network, SAMPLES[:1], draft, count, **settings), stacked[:1])


@pytest.mark.parametrize("settings", SETTINGS)
def test_tokens_depend_on_neither_the_batch_nor_the_draft(
    network: AutoregressiveTransformer, settings: dict[str, Any]
) -> None:
    check_equal(network, settings, [3])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("top_p", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_tokens_depend_on_neither_the_batch_nor_the_draft_in_a_sweep(
    network: AutoregressiveTransformer, seed: int, temperature: float, top_p: float, guidance_scale: float
) -> None:
    settings = {"seed": seed, "temperature": temperature, "top_p": top_p, "guidance_scale": guidance_scale}
    check_equal(network, settings, range(1, 10))


def test_a_right_draft_saves_forward_passes_and_heads_are_such_a_draft(
    network: AutoregressiveTransformer,
) -> None:
    text = torch.zeros(1, 1, 16)
    choice = TokenChoice(network, TokenSampler(top_p=0.8))
    prefix, samples = torch.arange(6)[None], torch.tensor([3])
    plain = Decoder(choice, GRID, Conditioning(text_embeddings=text))
    codes = plain(prefix, 18, samples, 6)
    assert len(plain.passes) == 18
    oracle = NoisyOracle({3: torch.cat([prefix, codes], 1)}, 0.0)
    fast = Decoder(choice, GRID, Conditioning(text_embeddings=text), oracle, 5)
    assert torch.equal(fast(prefix, 18, samples, 6), codes)
    assert [(each.place, each.drafted, each.accepted) for each in fast.passes] == [
        (6, 0, 0), (7, 5, 5), (13, 5, 5), (19, 4, 4)
    ]  # fmt: skip
    heads = MedusaHeads(32, 4).requires_grad_(False)
    assert torch.equal(heads(torch.ones(1, 2, 32)), torch.ones(1, 2, 4, 32))  # untrained: the next token
    ids = torch.arange(0, IDS, 2)
    draft = MedusaDraft(choice, heads, ids)
    medusa = Decoder(choice, GRID, Conditioning(text_embeddings=text), draft, 4)
    assert torch.equal(medusa(prefix, 18, samples, 6), codes)
    hidden = torch.randn(1, 1, 32)
    assert set(draft(hidden, samples, torch.arange(3)).flatten().tolist()) <= set(ids.tolist())


def test_a_longer_video_begins_with_the_shorter_one_and_sees_its_context(
    network: AutoregressiveTransformer,
) -> None:
    choice = TokenChoice(network, TokenSampler())
    rollout = Rollout(max_latent_frames=3, context_frames=2)
    samples, given = torch.tensor([0]), torch.empty(1, 0, *GRID, dtype=torch.int64)
    videos = [rollout(Decoder(choice, GRID, Conditioning()), given, frames, samples) for frames in (2, 5)]
    assert torch.equal(videos[0], videos[1][:, :2])
    seam = Decoder(choice, GRID, Conditioning())  # the fourth frame, from the second and third at places 0..
    fourth = seam(videos[1][:, 1:3].flatten(1), 6, samples, 18)
    assert torch.equal(fourth.reshape(GRID), videos[1][0, 3])


def test_bad_input_is_refused(network: AutoregressiveTransformer) -> None:
    decoder = Decoder(TokenChoice(network, TokenSampler()), GRID, Conditioning())
    with pytest.raises(SettingError, match=r"not in 0\.\.63: 3\.\.64"):
        decoder(torch.tensor([[3, 64]]), 1, torch.tensor([0]), 2)
    with pytest.raises(SettingError, match="no frame is left to decode"):
        Rollout(max_latent_frames=2, context_frames=2)
    with pytest.raises(SettingError, match="top_p: 0 keeps no token"):
        TokenSampler(top_p=0)
    with pytest.raises(SettingError, match="temperature: -1 is out of range"):
        TokenSampler(temperature=-1)
