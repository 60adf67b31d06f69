"""The video transformer equals diffusers' Cosmos class, on one rank or several, and learns."""

import threading
import warnings
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.denoiser import VelocityDenoiser
from training.networks.rotary import apply_rotary, rotary_tables, token_positions
from training.networks.text_tokens import tokenize_captions
from training.networks.video_dit import MODEL_CONFIGS, VideoDiT, VideoDiTConfig
from training.objectives.denoising import Denoising
from training.path import RectifiedFlow
from training.sampler import sample_euler, timestep_grid

SMALL = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=2,
    channels=4,
    text_embed_dim=40,
    adaln_lora_dim=16,
    rope_scale=(1.0, 3.0, 3.0),
)


def _network(config: VideoDiTConfig = SMALL) -> VideoDiT:
    torch.manual_seed(0)
    network = VideoDiT(config)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return network


def _inputs(frames: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, frames, 6, 4, generator=rng)
    return noisy, torch.tensor([0.2, 0.9]), tokenize_captions(["a bright shot", ""])


def test_parameter_names_shapes_and_output_equal_diffusers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        theirs = diffusers.CosmosTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=24,
            num_layers=2,
            text_embed_dim=40,
            adaln_lora_dim=16,
            max_size=(16, 32, 32),
            rope_scale=(1.0, 3.0, 3.0),
            concat_padding_mask=False,
            extra_pos_embed_type=None,
        )
    ours = _network(VideoDiTConfig(**{**vars(SMALL), "timestep_scale": 1.0}))
    shared = {k: v for k, v in ours.state_dict().items() if k != "words_embed.weight"}
    assert {k: v.shape for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in shared.items()}
    theirs.load_state_dict(shared)
    noisy, t, text_tokens = _inputs()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(noisy, t, ours.words_embed(text_tokens), return_dict=False)[0]
        assert torch.allclose(ours(noisy, t, text_tokens), expected, atol=1e-4 * float(expected.abs().max()))


def test_two_halves_of_the_tokens_give_the_whole_output() -> None:
    network, (noisy, t, text_tokens) = _network(), _inputs()
    with torch.inference_mode():
        whole = network(noisy, t, text_tokens)
        for half in _run_in_halves(network, noisy, t, text_tokens):
            assert torch.allclose(half, whole, atol=1e-5 * float(whole.abs().max()))


def _run_in_halves(network: VideoDiT, *inputs: Tensor) -> list[Tensor]:
    """Run the network in two threads, each on half of the tokens, with keys and values exchanged."""
    shared: dict[str, list[Tensor]] = {}
    barrier, rank, out = threading.Barrier(2, timeout=20), threading.local(), [torch.empty(0)] * 2

    def concatenate(name: str, mine: Tensor, axis: int) -> Tensor:
        shared.setdefault(name, [mine, mine])[rank.number] = mine
        barrier.wait()
        both = torch.cat(shared[name], axis)
        barrier.wait()
        return both

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = concatenate("k", k, 2), concatenate("v", v, 2)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    network.attend = attend
    network.split = lambda x, axis: x.chunk(2, axis)[rank.number]
    network.join = lambda x, axis: concatenate("out", x, axis)

    def run(number: int) -> None:
        rank.number = number
        with torch.inference_mode():
            out[number] = network(*inputs)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def test_positions_with_a_first_frame_are_the_tail_of_all_positions() -> None:
    whole = token_positions(5, 3, 2)
    assert torch.equal(torch.cat([token_positions(2, 3, 2), token_positions(3, 3, 2, first_frame=2)]), whole)
    assert whole[:3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rotations_depend_only_on_the_distance() -> None:
    x = torch.randn(1, 1, 1, 24, generator=torch.Generator().manual_seed(0)).expand(1, 1, 2, 24)
    near, far = (
        apply_rotary(x, rotary_tables(torch.tensor([[t, 1, 2], [t + 3, 5, 2]]), 24, (1.0, 1.0, 1.0)))[0, 0]
        for t in (0, 40)
    )
    assert float(near[0] @ near[1]) == pytest.approx(float(far[0] @ far[1]), rel=1e-4)
    assert float(near[0] @ near[1]) < float(near[0] @ near[0])


def test_a_new_network_predicts_zero_and_refuses_other_shapes() -> None:
    network = VideoDiT(MODEL_CONFIGS["tiny"])
    latents = torch.randn(1, 16, 2, 4, 6)
    assert not network(latents, torch.tensor([0.5]), tokenize_captions([""])).any()
    with pytest.raises(ValueError, match="multiples"):
        network(latents[..., :5], torch.tensor([0.5]), tokenize_captions([""]))
    assert sum(p.numel() for p in network.parameters()) < 3_000_000


def test_flops_equal_the_count_of_torch() -> None:
    network, (noisy, t, text_tokens) = _network(), _inputs()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(noisy, t, text_tokens)
    assert network.flops(tuple(noisy.shape)) == counted.get_total_flops()


class LatentBatch(NamedTuple):
    ids: list[str]
    latents: Tensor
    captions: list[str]


def test_it_learns_the_meaning_of_two_captions() -> None:
    torch.manual_seed(0)
    network = VideoDiT(
        VideoDiTConfig(
            num_attention_heads=2,
            attention_head_dim=18,
            num_layers=1,
            channels=2,
            text_embed_dim=16,
            adaln_lora_dim=16,
        )
    )
    denoiser = VelocityDenoiser(network)
    objective = Denoising(denoiser, RectifiedFlow(), tokenize_captions, text_dropout=0.1)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    captions = ["low"] * 16 + ["high"] * 16
    middle = torch.tensor([-1.0] * 16 + [1.0] * 16).reshape(-1, 1, 1, 1, 1)
    rng = torch.Generator().manual_seed(3)
    for step in range(300):
        latents = middle + 0.3 * torch.randn(32, 2, 1, 2, 2, generator=rng)
        loss = objective(LatentBatch([str(k) for k in range(32)], latents, captions), step).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    noise = torch.randn(64, 2, 1, 2, 2, generator=rng)
    text_tokens = tokenize_captions(["low"] * 32 + ["high"] * 32)
    with torch.inference_mode():
        samples = sample_euler(denoiser, RectifiedFlow(), noise, text_tokens, timestep_grid(20))
    for half, mean in ((samples[:32], -1.0), (samples[32:], 1.0)):
        assert float(half.mean()) == pytest.approx(mean, abs=0.15)
        assert 0.15 < float(half.std()) < 0.5
