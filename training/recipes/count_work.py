"""Counts the work of a training: clips, tokens and FLOPs."""

import math
from typing import Any

import torch
from torch import nn

from training.data.batches import LatentBatch
from training.networks.recurrent.conv_rnn import ConvRNN
from training.networks.unet3d import UNet3D
from training.networks.video_dit import VideoDiT


class WorkCounter:
    """The work of microbatches on all ranks.

    FLOPs are those that the network needs for its inputs: the text tokens of the batch, padding included, and
    one timestep per clip or per frame. A backward pass costs two forward passes. Recomputed activations and
    the text encoder do not count, as in the usual definition of the model FLOPs utilization.

    Args:
        network: Its forward passes with gradients are counted.
        num_data_ranks: Ranks that read different clips.
    """

    def __init__(self, network: VideoDiT | UNet3D | ConvRNN, num_data_ranks: int) -> None:
        self.network, self.num_data_ranks, self._flops = network, num_data_ranks, 0.0
        network.register_forward_pre_hook(self._count)

    def __call__(self, batch: LatentBatch) -> dict[str, float]:
        """The work of a microbatch, with the FLOPs of all forward passes since the last call."""
        shape = tuple(batch.latents.shape)
        tokens = math.prod(self.network.grid(shape)) * shape[0]
        counts = {"samples": shape[0], "tokens": tokens, "flops": 3 * self._flops}
        self._flops = 0.0
        return {name: float(count * self.num_data_ranks) for name, count in counts.items()}

    def _count(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not torch.is_grad_enabled():
            return
        noisy, timestep, conditioning = inputs
        text, views = conditioning.text_embeddings, conditioning.view_indices
        options = {} if views is None else {"num_views": views.shape[1]}
        self._flops += self.network.flops(
            tuple(noisy.shape), 0 if text is None else text.shape[-2], timestep.dim() == 2, **options
        )
