"""A network of several cameras begins as its base on each view, and does not know the order of views."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.adapters.pretrained import load_weights
from training.adapters.weight_files import Weights
from training.diffusion.conditioning import Conditioning
from training.diffusion.views import (
    join_conditioning,
    join_views,
    last_given,
    select_views,
    split_conditioning,
    split_views,
)
from training.networks.config import VideoDiTConfig, is_condition_layer
from training.networks.video_dit import VideoDiT

BASE = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=2,
    channels=4,
    text_embed_dim=8,
    adaln_lora_dim=4,
    mask_text=True,
    concat_condition_mask=True,
)
VIEWS = ("front", "left", "right", "rear")
PAIRS = (("front", "left"), ("right", "front"))  # rear has no neighbor
JOINT = replace(BASE, views=VIEWS, view_neighbors=PAIRS, trajectory_dim=6, camera_injection="block")
RNG = torch.Generator().manual_seed(1)
NOISY, TIMESTEP = torch.randn(2, 4, 12, 4, 6, generator=RNG), torch.tensor([0.2, 0.9])
CONDITIONING = Conditioning(
    text_embeddings=torch.randn(2, 4, 5, 8, generator=RNG),
    text_mask=(torch.rand(2, 4, 5, generator=RNG) > 0.3).float(),
    condition_mask=(torch.arange(12) % 3 < 1).float()[:, None, None].expand(2, 1, 12, 4, 6),
    camera=torch.randn(2, 6, 12, 4, 6, generator=RNG),
    trajectory=torch.randn(2, 6, generator=RNG),
    view_indices=torch.tensor([[0, 1, 2, 3], [2, 0, 3, 1]]),
)


def random_network(config: VideoDiTConfig) -> VideoDiT:
    network = VideoDiT(config)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(weight.numel()))
    return network


def run_each_view(network: VideoDiT, known: Conditioning = CONDITIONING) -> Tensor:
    """The output of a network without views for each view alone."""
    each = replace(split_conditioning(known), view_indices=None, trajectory=None, camera=None)
    return join_views(network(split_views(NOISY, 4), TIMESTEP.repeat_interleave(4), each), 4)


def test_the_first_step_is_that_of_the_base_model_on_each_view() -> None:
    base, network = random_network(BASE), VideoDiT(JOINT)
    load_weights(network, Weights(base.state_dict()))
    with torch.inference_mode():
        expected = run_each_view(base)
        assert torch.allclose(network(NOISY, TIMESTEP, CONDITIONING), expected, rtol=0, atol=1e-5)
        of_frames = TIMESTEP[:, None].expand(2, 12)
        assert torch.allclose(network(NOISY, of_frames, CONDITIONING), expected, rtol=0, atol=1e-5)
    network(NOISY, TIMESTEP, CONDITIONING).square().mean().backward()
    reached = {
        name: bool(weight.grad.any())
        for name, weight in network.named_parameters()
        if is_condition_layer(name) and weight.grad is not None
    }
    learning = [
        name for name in reached if name.startswith("view") or ".to_out" in name or "linear_2" in name
    ]
    assert [name for name in learning if not reached[name] and "norm_cross" not in name] == []
    assert len([name for name in learning if "cross_view_attn" in name]) == 2


@torch.inference_mode()
def test_the_order_of_views_permutes_the_output_and_any_subset_is_possible() -> None:
    network = random_network(JOINT)
    whole = network(NOISY, TIMESTEP, CONDITIONING)
    order = torch.tensor([[3, 1, 0, 2], [1, 2, 3, 0]])
    noisy, known, _ = select_views(NOISY, CONDITIONING, order)
    expected, _, _ = select_views(whole, CONDITIONING, order)
    assert torch.allclose(network(noisy, TIMESTEP, known), expected, atol=1e-4)
    assert not torch.allclose(network(noisy, TIMESTEP, CONDITIONING), expected, atol=1e-2)  # other cameras
    pair = torch.tensor([[1, 0], [3, 1]])  # left and front: the only neighbor of left
    noisy, known, rows = select_views(NOISY, CONDITIONING, pair)
    assert rows == [1, 0, 7, 5]
    left = select_views(whole, CONDITIONING, torch.tensor([[1], [3]]))[0]
    assert not torch.allclose(network(noisy, TIMESTEP, known)[:, :, :3], left, atol=1e-3)  # front lacks right
    one_layer = random_network(replace(JOINT, num_layers=1))
    left = select_views(one_layer(NOISY, TIMESTEP, CONDITIONING), CONDITIONING, torch.tensor([[1], [3]]))[0]
    assert torch.allclose(one_layer(noisy, TIMESTEP, known)[:, :, :3], left, atol=1e-4)


@torch.inference_mode()
def test_a_view_without_neighbors_is_denoised_alone() -> None:
    network = random_network(JOINT)
    assert CONDITIONING.view_indices is not None
    alone = join_conditioning(split_conditioning(CONDITIONING), CONDITIONING.view_indices.view(8, 1))
    separate = join_views(network(split_views(NOISY, 4), TIMESTEP.repeat_interleave(4), alone), 4)
    whole = network(NOISY, TIMESTEP, CONDITIONING)
    is_rear = (CONDITIONING.view_indices == 3)[0].repeat_interleave(3)
    same = (whole[0] - separate[0]).abs().amax((0, 2, 3)) < 1e-5
    assert same.tolist() == is_rear.tolist()
    independent = random_network(replace(JOINT, view_neighbors=()))
    assert not [name for name, _ in independent.named_parameters() if "cross_view" in name]


@torch.inference_mode()
def test_each_view_has_its_own_text_and_an_unknown_trajectory_adds_nothing() -> None:
    network = random_network(replace(JOINT, view_neighbors=()))
    before = network(NOISY, TIMESTEP, CONDITIONING)
    dropped = torch.tensor([[False, True, False, False], [False] * 4])
    after = network(NOISY, TIMESTEP, CONDITIONING.without_text(dropped))
    changed = (after != before).any(1).any(-1).any(-1)
    assert changed[0].tolist() == [False] * 3 + [True] * 3 + [False] * 6
    assert not changed[1].any()
    some = CONDITIONING.without_trajectory(torch.tensor([True, False]))
    unknown = network(NOISY, TIMESTEP, replace(CONDITIONING, trajectory=None))
    assert torch.allclose(network(NOISY, TIMESTEP, some)[0], unknown[0], atol=1e-5)
    assert torch.allclose(network(NOISY, TIMESTEP, some)[1], before[1], atol=1e-5)
    still = replace(CONDITIONING, trajectory=torch.zeros(2, 6))
    assert not torch.allclose(network(NOISY, TIMESTEP, still), unknown, atol=1e-3)


def test_views_and_their_conditioning_are_split_and_joined() -> None:
    assert torch.equal(join_views(split_views(NOISY, 4), 4), NOISY)
    assert CONDITIONING.view_indices is not None
    again = join_conditioning(split_conditioning(CONDITIONING), CONDITIONING.view_indices)
    for name in ("text_embeddings", "text_mask", "condition_mask", "camera", "trajectory", "view_indices"):
        assert torch.equal(getattr(again, name), getattr(CONDITIONING, name)), name


def test_the_last_given_frame_is_that_of_each_view() -> None:
    given = replace(CONDITIONING, condition_latents=NOISY)
    last = last_given(given)
    assert last is not None
    assert torch.equal(last[0, :, 3:6], NOISY[0, :, 3:4].expand(-1, 3, -1, -1))  # the first of each three
    assert last_given(CONDITIONING) is None


@pytest.mark.parametrize("neighbors", [PAIRS, ()])
def test_flops_equal_the_count_of_torch(neighbors: tuple[tuple[str, str], ...]) -> None:
    network = random_network(replace(JOINT, view_neighbors=neighbors))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(NOISY, TIMESTEP, CONDITIONING)
    assert network.flops(tuple(NOISY.shape), 5, num_views=4) == counted.get_total_flops()


def test_wrong_views_are_refused() -> None:
    network = random_network(JOINT)
    with pytest.raises(ValueError, match="view_indices None do not fit"):
        network(NOISY, TIMESTEP, replace(CONDITIONING, view_indices=None))
    with pytest.raises(ValueError, match=r"view_indices \(2, 5\) do not fit latents \(2, 4, 12, 4, 6\)"):
        network(NOISY, TIMESTEP, replace(CONDITIONING, view_indices=torch.zeros(2, 5, dtype=torch.long)))
    with pytest.raises(ValueError, match="view_neighbors has"):
        replace(BASE, views=VIEWS, view_neighbors=(("front", "top"),))
    with pytest.raises(ValueError, match="a camera twice"):
        replace(BASE, views=("front", "front"))
