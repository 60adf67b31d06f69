"""Runs on each rank: samples videos on all ranks together, and compares the latents with those of one rank.

Arguments: the folder for the model, and the video to write.
"""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from training.cli import main
from training.diffusion.config import DiffusionConfig
from training.errors import LayoutError
from training.model import ModelInfo, load_model, save_model
from training.networks.config import VideoDiTConfig
from training.networks.initialization import fill_truncated_normal
from training.networks.registry import NetworkConfig
from training.networks.unet3d import UNet3DConfig
from training.parallel.mesh import process_group
from training.recipes.sampling import SamplingRequest, sample_latents
from training.tokenizers import load_tokenizer, tokenizer_digest
from training.world_model import WorldModel

DIT = VideoDiTConfig(
    num_attention_heads=3, attention_head_dim=24, num_layers=1, text_embed_dim=24, adaln_lora_dim=8
)
UNET = UNet3DConfig(8, 1, attention_head_dim=8, text_embed_dim=16, norm_num_groups=4)
LATENTS = {"tokenizer": "small", "digest": tokenizer_digest("small"), "stride": [4, 8, 8], "channels": 16}


def make_model(folder: Path, network: NetworkConfig) -> Path:
    """A model with random weights: 27 tokens, in rows of 3, do not divide among 2 ranks."""
    if dist.get_rank() == 0:
        world = WorldModel(network, DiffusionConfig(), "byte_level")
        with torch.no_grad():
            for name, parameter in world.named_parameters():
                if parameter.dim() > 1:
                    fill_truncated_normal(parameter, name, 1, parameter[0].numel() ** -0.5)
        info = ModelInfo(
            network=network,
            diffusion=DiffusionConfig(),
            text_encoder={"name": "byte_level"},
            flow_shift=1.0,
            latents=LATENTS,
            fps=12.0,
            latent_shapes=[(16, 3, 6, 6)],
            training={"conditional_frames": [0.5, 0.5]},
        )
        save_model(folder / "model.safetensors", world.state_dict(), info)
    dist.barrier()
    return folder


def compare(model: Path, sampler: str, method: str, group: dist.ProcessGroup) -> None:
    """Latents of all ranks together and of one rank are equal within 1e-5."""
    request = SamplingRequest(
        prompt=["a slow pan"],
        sampler=sampler,
        num_inference_steps=3,
        context_parallel_method=method,
        num_threads=1,
    )
    world, info = load_model(model)
    tokenizer = load_tokenizer("small")
    expected = sample_latents(world, info, tokenizer, request)
    got = sample_latents(world, info, tokenizer, request, context_group=group)
    assert expected.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


folder, video = map(Path, sys.argv[1:])
with process_group():
    group = dist.group.WORLD
    assert group is not None
    model, unet = make_model(folder / "dit", DIT), make_model(folder / "unet", UNET)
    for sampler in ("euler", "heun", "unipc", "ddim", "ddpm"):
        compare(model, sampler, "allgather" if sampler == "heun" else "ulysses", group)
    compare(unet, "ddim", "ulysses", group)
    world, info = load_model(make_model(folder / "one_head", VideoDiTConfig(1, 24, 1)))
    request = SamplingRequest(prompt=["a"], num_inference_steps=1)
    with pytest.raises(LayoutError, match="1 attention heads cannot be divided among 2"):
        sample_latents(world, info, load_tokenizer("small"), request, context_group=group)
    printed = io.StringIO()
    with redirect_stdout(printed):
        main(
            [
                "sample",
                "--model",
                str(model),
                "--out",
                str(video),
                "--num-frames",
                "1",
                "--num-inference-steps",
                "1",
            ]
        )
    assert bool(printed.getvalue()) == (dist.get_rank() == 0)
    print(printed.getvalue(), end="")
