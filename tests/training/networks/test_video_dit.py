"""The video transformer has the published sizes, is equal on one rank and on several, and learns."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.loss_weight import VelocityWeight
from training.diffusion.path import RectifiedFlow
from training.diffusion.preconditioning import EDMPreconditioning
from training.diffusion.timestep_sampler import LogitNormal
from training.networks.token_share import Grid, TokenShare
from training.networks.video_dit import MODEL_CONFIGS, VideoDiT, VideoDiTConfig
from training.objectives.denoising import Denoising
from training.parallel.context import token_lengths
from training.sampler import timestep_grid
from training.samplers.euler import sample_euler
from training.text_encoders.byte_level import ByteLevelTextEncoder

SMALL = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=2,
    channels=4,
    text_embed_dim=40,
    adaln_lora_dim=16,
    rope_scale=(1.0, 3.0, 3.0),
    timestep_scale=1.0,
)
COMPLETE = replace(
    SMALL,
    concat_condition_mask=True,
    concat_padding_mask=True,
    extra_pos_embed_type="learnable",
    max_size=(8, 16, 16),
    crossattn_proj_in_channels=12,
    base_fps=24.0,
    mask_text=True,
    fp32_residual=True,
    action_dim=8,
    camera_injection="channels",
)

NUM_PARAMETERS = {
    "cosmos-predict1-7b": 7_236_192_256,
    "cosmos-predict1-7b-video2world": 7_236_208_640,
    "cosmos-predict1-14b": 14_267_149_312,
    "cosmos-predict2-2b-video2world": 1_956_413_440,
    "cosmos-predict2-14b-video2world": 14_265_285_632,
    "cosmos-predict2.5-2b": 2_059_174_912,
    "cosmos-predict2.5-14b": 14_368_047_104,
}


def _network(config: VideoDiTConfig = SMALL) -> VideoDiT:
    network = VideoDiT(config)
    rng = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=rng)
    return network


def _inputs(config: VideoDiTConfig = SMALL, frames: int = 4) -> tuple[Tensor, Tensor, Conditioning]:
    rng = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, frames, 6, 4, generator=rng)
    conditioning = Conditioning(
        text_embeddings=torch.randn(2, 5, config.text_input_dim, generator=rng),
        text_mask=torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
        fps=torch.tensor([12.0, 30.0]),
        padding_mask=(torch.arange(6) > 3).float()[:, None].expand(2, 1, 6, 4),
        condition_mask=(torch.arange(frames) < 1).float()[:, None, None].expand(2, 1, frames, 6, 4),
        action=torch.randn(2, frames, 8, generator=rng),
        camera=torch.randn(2, 6, frames, 6, 4, generator=rng),
    )
    return noisy, torch.tensor([0.2, 0.9]), conditioning


def _per_frame(timestep: Tensor, frames: int = 4) -> Tensor:
    return timestep[:, None] * torch.linspace(0.5, 1, frames)


@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_published_models_have_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        network = VideoDiT(MODEL_CONFIGS[name])
    assert sum(parameter.numel() for parameter in network.parameters()) == NUM_PARAMETERS[name]
    assert all(parameter.is_meta for parameter in network.parameters())
    assert not list(network.buffers())


@pytest.mark.parametrize("has_frame_timesteps", [False, True])
@pytest.mark.parametrize("ranks", [2, 5, 8])
def test_parts_of_the_tokens_give_the_whole_output(ranks: int, has_frame_timesteps: bool) -> None:
    network, (noisy, t, conditioning) = _network(COMPLETE), _inputs(COMPLETE)
    t = _per_frame(t) if has_frame_timesteps else t  # 12 rows of 2 tokens: 5 ranks cut frames of 6 unevenly
    with torch.inference_mode():
        whole = network(noisy, t, conditioning)
        for output in _run_in_parts(network, ranks, noisy, t, conditioning):
            assert torch.allclose(output, whole, atol=1e-5 * float(whole.abs().max()))


def _run_in_parts(network: VideoDiT, ranks: int, *inputs: Any) -> list[Tensor]:
    """Run the network in threads, each on a part of the tokens, with keys and values exchanged."""
    shared: dict[str, list[Tensor]] = {}
    barrier, rank, out = threading.Barrier(ranks, timeout=20), threading.local(), [torch.empty(0)] * ranks

    def concatenate(name: str, mine: Tensor, axis: int) -> Tensor:
        shared.setdefault(name, [mine] * ranks)[rank.number] = mine
        barrier.wait()
        both = torch.cat(shared[name], axis)
        barrier.wait()
        return both

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = concatenate("k", k, 2), concatenate("v", v, 2)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def share(grid: Grid) -> TokenShare:
        lengths = token_lengths(grid, ranks)
        start = sum(lengths[: rank.number])
        stop = start + lengths[rank.number]
        return TokenShare(start, stop, attend, lambda x: concatenate("out", x, 1))

    network.share_tokens = share

    def run(number: int) -> None:
        rank.number = number
        with torch.inference_mode():
            out[number] = network(*inputs)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def test_equal_timesteps_of_all_frames_are_one_timestep() -> None:
    network, (noisy, t, conditioning) = _network(COMPLETE), _inputs(COMPLETE)
    with torch.inference_mode():
        one = network(noisy, t, conditioning)
        each = network(noisy, t[:, None].expand(2, 4), conditioning)
        other = network(noisy, _per_frame(t), conditioning)
    assert torch.allclose(one, each, atol=1e-5)
    assert not torch.allclose(one, other, atol=1e-2)


Change = Callable[[Conditioning], Conditioning]
CHANGES: dict[str, tuple[Change, dict[str, Any]]] = {
    "fps": (lambda c: replace(c, fps=torch.tensor([6.0, 15.0])), {"base_fps": None}),
    "padding_mask": (
        lambda c: replace(c, padding_mask=None),
        {"concat_padding_mask": False},
    ),
    "condition_mask": (lambda c: replace(c, condition_mask=None), {"concat_condition_mask": False}),
    "text_mask": (lambda c: replace(c, text_mask=None), {"mask_text": False}),
    "text": (lambda c: replace(c, text_embeddings=None), {}),
    "action": (lambda c: replace(c, action=None), {"action_dim": 0}),
    "camera": (lambda c: replace(c, camera=None), {"camera_injection": None}),
    "camera of blocks": (lambda c: replace(c, camera=None), {"camera_injection": "block"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_conditioning_counts_only_where_the_config_says_so(name: str) -> None:
    change, without = CHANGES[name]
    counts_without = not without or "block" in without.values()
    for config, counts in ((COMPLETE, True), (replace(COMPLETE, **without), counts_without)):
        network, (noisy, t, conditioning) = _network(config), _inputs(config)
        with torch.inference_mode():
            outputs = network(noisy, t, conditioning), network(noisy, t, change(conditioning))
        assert torch.equal(*outputs) is not counts


def test_each_clip_of_a_batch_has_its_own_conditioning() -> None:
    network, (noisy, t, conditioning) = _network(COMPLETE), _inputs(COMPLETE)
    with torch.inference_mode():
        together = network(noisy, t, conditioning)
        for row in (slice(0, 1), slice(1, 2)):
            alone = network(noisy[row], t[row], conditioning.map(lambda x: x[row]))  # noqa: B023
            assert torch.allclose(together[row], alone, atol=1e-4)


def test_masked_text_tokens_have_no_effect_and_a_caption_may_be_all_padding() -> None:
    network, (noisy, t, conditioning) = _network(COMPLETE), _inputs(COMPLETE)
    assert conditioning.text_embeddings is not None
    other = conditioning.text_embeddings.clone()
    other[0, 3:] = 7.0
    with torch.inference_mode():
        assert torch.equal(
            network(noisy, t, conditioning), network(noisy, t, replace(conditioning, text_embeddings=other))
        )
        assert network(noisy, t, conditioning.without_text()).isfinite().all()


def test_a_new_network_predicts_zero_and_refuses_other_shapes() -> None:
    network = VideoDiT(MODEL_CONFIGS["tiny"])
    latents = torch.randn(1, 16, 2, 4, 6)
    assert not network(latents, torch.tensor([0.5]), Conditioning()).any()
    with pytest.raises(ValueError, match="multiples"):
        network(latents[..., :5], torch.tensor([0.5]), Conditioning())
    with pytest.raises(ValueError, match=r"exceeds the learned positions \(8, 8, 8\)"):
        _network(COMPLETE)(*_inputs(COMPLETE, frames=9))


def test_the_residual_stays_float32_in_a_network_of_bfloat16() -> None:
    exact, rounded = _network(replace(SMALL, fp32_residual=True)), _network()
    inputs = _inputs()
    with torch.inference_mode():
        expected = exact(*inputs)
        errors = [
            float((network.bfloat16()(*inputs).float() - expected).square().mean())
            for network in (exact, rounded)
        ]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("has_frame_timesteps", [False, True])
@pytest.mark.parametrize("config", [SMALL, COMPLETE])
def test_flops_equal_the_count_of_torch(config: VideoDiTConfig, has_frame_timesteps: bool) -> None:
    network, (noisy, t, conditioning) = _network(config), _inputs(config)
    t = _per_frame(t) if has_frame_timesteps else t
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(noisy, t, conditioning)
    assert network.flops(tuple(noisy.shape), 5, has_frame_timesteps) == counted.get_total_flops()


@dataclass(frozen=True)
class Batch:
    positions: list[int]
    latents: Tensor
    captions: list[str]
    conditioning: Conditioning = field(default_factory=Conditioning)


@pytest.mark.slow
def test_it_learns_the_meaning_of_two_captions() -> None:
    torch.manual_seed(0)
    network = VideoDiT(
        VideoDiTConfig(
            num_attention_heads=2,
            attention_head_dim=18,
            num_layers=1,
            channels=2,
            text_embed_dim=32,
            adaln_lora_dim=16,
        )
    )
    encoder, path = ByteLevelTextEncoder(32), RectifiedFlow()
    denoiser = PreconditionedDenoiser(network, path, EDMPreconditioning(path))
    objective = Denoising(denoiser, path, VelocityWeight(path), LogitNormal(), encoder)
    optimizer = torch.optim.Adam([*network.parameters(), *encoder.parameters()], lr=4e-3)
    captions = ["low"] * 16 + ["high"] * 16
    middle = torch.tensor([-1.0] * 16 + [1.0] * 16).reshape(-1, 1, 1, 1, 1)
    rng = torch.Generator().manual_seed(3)
    for step in range(120):
        latents = middle + 0.3 * torch.randn(32, 2, 1, 2, 2, generator=rng)
        batch = Batch([step * 32 + k for k in range(32)], latents, captions)
        loss = objective(batch, step).total
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    noise = torch.randn(64, 2, 1, 2, 2, generator=rng)
    with torch.inference_mode():
        embeddings, mask = encoder(["low"] * 32 + ["high"] * 32, "cpu")
        conditioning = Conditioning(text_embeddings=embeddings, text_mask=mask)
        samples = sample_euler(denoiser, path, noise, conditioning, timestep_grid(20))
    for half, mean in ((samples[:32], -1.0), (samples[32:], 1.0)):
        assert float(half.mean()) == pytest.approx(mean, abs=0.15)
        assert 0.15 < float(half.std()) < 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
def test_all_blocks_compile_to_one_graph_with_the_same_gradients() -> None:
    network, (noisy, t, conditioning) = _network(COMPLETE), _inputs(COMPLETE)
    gradients = []
    for _ in range(2):
        network.zero_grad()
        network(noisy, _per_frame(t), conditioning).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
        torch._dynamo.reset()
        for block in network.transformer_blocks:
            block.compile(backend="aot_eager", fullgraph=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    for eager, compiled in zip(*gradients, strict=True):
        assert eager is not None
        assert compiled is not None
        assert torch.allclose(eager, compiled, atol=1e-5 * float(eager.abs().max()))
