"""A network that gets layers for actions and a camera begins with the output of the network without them."""

from dataclasses import replace

import pytest
import torch

from training.adapters.pretrained import load_weights
from training.adapters.weight_files import Weights
from training.diffusion.conditioning import Conditioning
from training.errors import CheckpointError
from training.networks.config import VideoDiTConfig, is_condition_layer
from training.networks.video_dit import VideoDiT

BASE = VideoDiTConfig(
    num_attention_heads=2, attention_head_dim=24, num_layers=2, channels=4, text_embed_dim=8, adaln_lora_dim=4
)
RNG = torch.Generator().manual_seed(1)
NOISY, TIMESTEP = torch.randn(2, 4, 3, 4, 6, generator=RNG), torch.tensor([0.2, 0.9])
CONDITIONING = Conditioning(
    action=torch.randn(2, 3, 8, generator=RNG), camera=torch.randn(2, 6, 3, 4, 6, generator=RNG)
)


def base_network() -> VideoDiT:
    network = VideoDiT(BASE)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("injection", ["channels", "block"])
def test_the_first_step_is_that_of_the_base_model(injection: str) -> None:
    base = base_network()
    network = VideoDiT(replace(BASE, action_dim=8, camera_injection=injection))
    load_weights(network, Weights(base.state_dict()))
    with torch.inference_mode():
        assert torch.allclose(
            network(NOISY, TIMESTEP, CONDITIONING), base(NOISY, TIMESTEP, Conditioning()), rtol=0, atol=1e-5
        )
        assert torch.equal(  # of a camera alone: the same bits
            network(NOISY, TIMESTEP, replace(CONDITIONING, action=None)),
            base(NOISY, TIMESTEP, Conditioning()),
        )
    network(NOISY, TIMESTEP, CONDITIONING).square().mean().backward()
    for name, parameter in network.named_parameters():
        if is_condition_layer(name) and "linear_1" not in name:  # linear_1 learns once linear_2 is not zero
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name


def test_weights_without_other_layers_are_refused() -> None:
    weights = base_network().state_dict()
    del weights["patch_embed.proj.weight"]
    network = VideoDiT(replace(BASE, action_dim=8))
    with pytest.raises(CheckpointError, match=r"missing: patch_embed\.proj\.weight"):
        load_weights(network, Weights(weights))


@torch.inference_mode()
def test_an_action_acts_on_its_latent_frame_and_an_unknown_one_on_none() -> None:
    """In a network without attention between tokens, only the frame of an action changes."""
    network = VideoDiT(replace(BASE, action_dim=8, num_layers=1))
    for name, weight in network.named_parameters():
        std = 0.0 if "attn" in name else 0.2
        torch.nn.init.normal_(weight, std=std, generator=torch.Generator().manual_seed(0))
    before = network(NOISY, TIMESTEP, CONDITIONING)
    assert CONDITIONING.action is not None
    for frame in range(3):
        action = CONDITIONING.action.clone()
        action[:, frame] += 1
        changed = (network(NOISY, TIMESTEP, replace(CONDITIONING, action=action)) != before).flatten(3).any(3)
        assert changed.any(1).any(0).nonzero().flatten().tolist() == ([frame] if frame else [])
    none = network(NOISY, TIMESTEP, CONDITIONING.without_action())
    assert torch.allclose(none, network(NOISY, TIMESTEP, Conditioning()), atol=1e-5)
    one = network(NOISY, TIMESTEP, CONDITIONING.without_action(torch.tensor([True, False])))
    assert torch.allclose(one[0], none[0], atol=1e-5)
    assert torch.allclose(one[1], before[1], atol=1e-5)
    mean_action = replace(CONDITIONING, action=torch.zeros(2, 3, 8))  # the mean action is not an unknown one
    assert not torch.allclose(network(NOISY, TIMESTEP, mean_action)[:, :, 1], none[:, :, 1], atol=1e-3)


def test_other_shapes_are_refused() -> None:
    network = VideoDiT(replace(BASE, action_dim=8, camera_injection="channels"))
    with pytest.raises(ValueError, match="actions \\(2, 3, 7\\) are not"):
        network(NOISY, TIMESTEP, Conditioning(action=torch.zeros(2, 3, 7)))
    with pytest.raises(ValueError, match="rays of the camera"):
        network(NOISY, TIMESTEP, Conditioning(camera=torch.zeros(2, 6, 3, 4, 4)))
    with pytest.raises(ValueError, match="camera_injection is 'adaln'"):
        replace(BASE, camera_injection="adaln")
