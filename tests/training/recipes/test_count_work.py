"""The work of a step counts the text tokens of the batch and one timestep per frame."""

from dataclasses import replace

import torch

from training.data.batches import LatentBatch
from training.diffusion.conditioning import Conditioning
from training.networks.config import MODEL_CONFIGS
from training.networks.unet3d import UNET_CONFIGS, UNet3D
from training.networks.video_dit import VideoDiT
from training.recipes.count_work import WorkCounter


def test_a_unet_counts_the_tokens_of_its_attention_and_no_text() -> None:
    network, latents = UNet3D(UNET_CONFIGS["unet3d-tiny"]), torch.zeros(2, 16, 3, 5, 4)
    counter = WorkCounter(network, num_data_ranks=1)
    network(latents, torch.zeros(2), Conditioning())
    counts = counter(LatentBatch(("a", "b"), (0, 1), latents, ("", ""), Conditioning()))
    assert counts == {"samples": 2.0, "tokens": 2 * 4 * 4 * 2.0, "flops": 3 * network.flops((2, 16, 3, 5, 4))}


def test_flops_are_those_of_the_inputs_of_the_network() -> None:
    config = replace(MODEL_CONFIGS["tiny"], num_layers=1)
    network, latents = VideoDiT(config), torch.zeros(2, config.channels, 3, 4, 4)
    counter = WorkCounter(network, num_data_ranks=4)
    batch = LatentBatch(("a", "b"), (0, 1), latents, ("", ""), Conditioning())
    shape = tuple(latents.shape)
    with torch.no_grad():
        network(latents, torch.zeros(2), Conditioning())  # a validation does not count
    network(latents, torch.zeros(2), Conditioning())
    plain = counter(batch)
    assert plain == {"samples": 8.0, "tokens": 4 * 2 * 12.0, "flops": 4 * 3 * network.flops(shape, 1)}
    text = torch.zeros(2, 7, config.text_input_dim)
    network(latents, torch.zeros(2, 3), Conditioning(text_embeddings=text))
    assert counter(batch)["flops"] == 4 * 3 * network.flops(shape, 7, True) > plain["flops"]
