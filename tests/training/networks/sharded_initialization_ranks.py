"""Run on several ranks: a sharded network from the meta device has the values of one from the CPU."""

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from training.adapters.pretrained import load_weights
from training.adapters.weight_files import Weights
from training.diffusion.conditioning import Conditioning
from training.networks.video_dit import MODEL_CONFIGS, VideoDiT
from training.parallel.mesh import Mesh, ParallelDims, process_group
from training.parallel.sharding import apply_activation_checkpointing, apply_fsdp


def gather(parameter: torch.Tensor) -> torch.Tensor:
    assert isinstance(parameter, DTensor)
    return parameter.full_tensor()


with process_group():
    whole = VideoDiT(MODEL_CONFIGS["tiny"], seed=3)
    with torch.device("meta"):
        network = VideoDiT(MODEL_CONFIGS["tiny"])
    blocks = list(network.transformer_blocks)
    apply_activation_checkpointing(blocks, "full")
    apply_fsdp(network, blocks, Mesh(ParallelDims()), "fp32")
    network.to_empty(device="cpu")
    network.reset_parameters(3)
    expected = dict(whole.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(gather(parameter), expected[name], rtol=0, atol=0)
    weights = {name: torch.randn_like(value) for name, value in sorted(expected.items())}
    for value in weights.values():
        dist.broadcast(value, 0)
    load_weights(network, Weights(weights))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(gather(parameter), weights[name], rtol=0, atol=0)
    whole.load_state_dict(weights)
    latents, t = torch.linspace(-1, 1, 2 * 16 * 2 * 4 * 4).reshape(2, 16, 2, 4, 4), torch.tensor([0.1, 0.7])
    for either in (whole, network):
        either(latents, t, Conditioning()).square().mean().backward()
    for name, parameter in network.named_parameters():
        grad = expected[name].grad
        assert parameter.grad is not None
        assert grad is not None
        torch.testing.assert_close(
            gather(parameter.grad), grad, rtol=1e-4, atol=1e-4 * float(grad.abs().max())
        )
    if dist.get_rank() == 0:
        print("equal")
