"""The video transformer: the same as diffusers' Cosmos class, whole or split, and able to learn."""

import threading
import warnings
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.denoiser import VelocityDenoiser
from training.networks import rotary
from training.networks.text_tokens import read_words
from training.networks.video_dit import SIZES, Config, VideoDiT
from training.objectives.denoising import Denoising
from training.path import RectifiedFlow
from training.sampler import euler, times

SMALL = Config(heads=2, head_dim=24, blocks=2, channels=4, told=40, low_rank=16, stretch=(1.0, 3.0, 3.0))


def _network(config: Config = SMALL) -> VideoDiT:
    torch.manual_seed(0)
    network = VideoDiT(config)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return network


def _inputs(frames: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, frames, 6, 4, generator=rng)
    return noisy, torch.tensor([0.2, 0.9]), read_words(["a bright shot", ""])


def test_names_shapes_and_output_are_those_of_diffusers() -> None:
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
    ours = _network(Config(**{**vars(SMALL), "time_scale": 1.0}))
    shared = {k: v for k, v in ours.state_dict().items() if k != "words_embed.weight"}
    assert {k: v.shape for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in shared.items()}
    theirs.load_state_dict(shared)
    noisy, t, given = _inputs()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(noisy, t, ours.words_embed(given), return_dict=False)[0]
        assert torch.allclose(ours(noisy, t, given), expected, atol=1e-4 * float(expected.abs().max()))


def test_two_halves_of_the_tokens_give_what_the_whole_gives() -> None:
    network, (noisy, t, given) = _network(), _inputs()
    with torch.inference_mode():
        whole = network(noisy, t, given)
        for half in _in_halves(network, noisy, t, given):
            assert torch.allclose(half, whole, atol=1e-5 * float(whole.abs().max()))


def _in_halves(network: VideoDiT, *given: Tensor) -> list[Tensor]:
    """The network run by two threads, each on half of the tokens, with keys and values exchanged."""
    shelf: dict[str, list[Tensor]] = {}
    barrier, rank, out = threading.Barrier(2, timeout=20), threading.local(), [torch.empty(0)] * 2

    def together(name: str, mine: Tensor, axis: int) -> Tensor:
        shelf.setdefault(name, [mine, mine])[rank.number] = mine
        barrier.wait()
        both = torch.cat(shelf[name], axis)
        barrier.wait()
        return both

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = together("k", k, 2), together("v", v, 2)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    network.attend = attend
    network.split = lambda x, axis: x.chunk(2, axis)[rank.number]
    network.join = lambda x, axis: together("out", x, axis)

    def run(number: int) -> None:
        rank.number = number
        with torch.inference_mode():
            out[number] = network(*given)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def test_positions_of_later_frames_are_the_tail_of_those_of_all() -> None:
    whole = rotary.positions(5, 3, 2)
    assert torch.equal(torch.cat([rotary.positions(2, 3, 2), rotary.positions(3, 3, 2, first=2)]), whole)
    assert whole[:3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rotations_depend_on_distance_alone() -> None:
    x = torch.randn(1, 1, 1, 24, generator=torch.Generator().manual_seed(0)).expand(1, 1, 2, 24)
    near, far = (
        rotary.rotate(x, rotary.tables(torch.tensor([[t, 1, 2], [t + 3, 5, 2]]), 24, (1.0, 1.0, 1.0)))[0, 0]
        for t in (0, 40)
    )
    assert float(near[0] @ near[1]) == pytest.approx(float(far[0] @ far[1]), rel=1e-4)
    assert float(near[0] @ near[1]) < float(near[0] @ near[0])


def test_a_new_network_predicts_nothing_and_refuses_other_shapes() -> None:
    network = VideoDiT(SIZES["tiny"])
    latents = torch.randn(1, 16, 2, 4, 6)
    assert not network(latents, torch.tensor([0.5]), read_words([""])).any()
    with pytest.raises(ValueError, match="multiples"):
        network(latents[..., :5], torch.tensor([0.5]), read_words([""]))
    assert sum(p.numel() for p in network.parameters()) < 3_000_000


def test_flops_are_those_that_torch_counts() -> None:
    network, (noisy, t, given) = _network(), _inputs()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(noisy, t, given)
    assert network.flops(tuple(noisy.shape)) == counted.get_total_flops()


class Clips(NamedTuple):
    ids: list[str]
    latents: Tensor
    captions: list[str]


def test_it_learns_what_two_captions_mean() -> None:
    torch.manual_seed(0)
    network = VideoDiT(Config(heads=2, head_dim=18, blocks=1, channels=2, told=16, low_rank=16))
    denoiser = VelocityDenoiser(network)
    objective = Denoising(denoiser, RectifiedFlow(), read_words, text_dropout=0.1)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    words = ["low"] * 16 + ["high"] * 16
    middle = torch.tensor([-1.0] * 16 + [1.0] * 16).reshape(-1, 1, 1, 1, 1)
    rng = torch.Generator().manual_seed(3)
    for step in range(300):
        latents = middle + 0.3 * torch.randn(32, 2, 1, 2, 2, generator=rng)
        loss = objective(Clips([str(k) for k in range(32)], latents, words), step).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    noise = torch.randn(64, 2, 1, 2, 2, generator=rng)
    given = read_words(["low"] * 32 + ["high"] * 32)
    with torch.inference_mode():
        made = euler(denoiser, RectifiedFlow(), noise, given, times(20))
    for half, mean in ((made[:32], -1.0), (made[32:], 1.0)):
        assert float(half.mean()) == pytest.approx(mean, abs=0.15)
        assert 0.15 < float(half.std()) < 0.5
