"""A diffusion decoder that learns what the video of the tokenizer of the codes lacks (`code_residual`)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from training.data.codes.paired_shards import PairedShards
from training.data.latent_statistics import compute_text_once
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.model import ModelInfo
from training.networks.config import VideoDiTConfig
from training.recipes.batches import open_statistics
from training.recipes.config import TrainingConfig
from training.recipes.sampling import open_tokenizer
from training.tokenizer import DiscreteTokenizer
from training.tokenizers.code_latents import CodeLatents

STD_FILE = "code_residual_std.json"
MAX_CLIPS = 32  # whose differences determine the standard deviation


def open_code_latents(
    info: ModelInfo, device: torch.device | str, code_tokenizer: str = ""
) -> CodeLatents | None:
    """What computes the differences that a diffusion decoder denoises; None if it denoises latents.

    Args:
        info: The metadata of the model.
        device: Where the tokenizers compute.
        code_tokenizer: Name or path of the tokenizer of the codes; "" takes the recorded one.

    Raises:
        CheckpointError: A tokenizer is not the one of the training.
    """
    if not (isinstance(info.network, VideoDiTConfig) and info.network.code_residual_std):
        return None
    place = code_tokenizer or info.training.get("code_tokenizer", "")
    std, statistics = info.network.code_residual_std, info.latent_statistics
    return _open(place, info.codes, info.latents, std, statistics, device)


def read_residual_std(
    config: TrainingConfig, shards: LatentShards, work: Path, device: torch.device
) -> tuple[float, ...]:
    """The standard deviation of the differences of a training, () without `code_residual`.

    The first call computes it and writes a file into `work`, so that a resumed training goes on with the same
    values. All ranks must call it.

    Raises:
        CheckpointError: A tokenizer is not the one that made the latents or codes.
    """
    if not (config.code_residual and isinstance(shards, PairedShards)):
        return ()

    def compute() -> str:
        std = [1.0] * shards.spec.channels
        codes, latents = shards.code_spec._asdict(), shards.spec._asdict()
        statistics = open_statistics(config, shards)
        code_latents = _open(config.code_tokenizer, codes, latents, std, statistics, device)
        return json.dumps(_compute_std(shards, code_latents, device))

    return tuple(json.loads(compute_text_once(work / STD_FILE, compute)))


def _compute_std(shards: PairedShards, code_latents: CodeLatents, device: torch.device) -> list[float]:
    """The root mean square of each channel of the differences, over evenly spaced clips."""
    places = [
        (bucket, SampleIndex(shard, number))
        for bucket, counts in enumerate(shards.counts)
        for shard, count in enumerate(counts)
        for number in range(count)
    ]
    squares, number = torch.zeros(shards.spec.channels, dtype=torch.float64), 0
    for bucket, index in places[:: -(-len(places) // MAX_CLIPS)]:
        sample = shards.read(bucket, index)
        assert sample.codes is not None
        guess = code_latents(sample.codes[None].to(device))[0].cpu()
        difference = (sample.latents.float() - guess).double().flatten(1)
        squares += difference.square().sum(1)
        number += difference.shape[1]
    return [float(f"{max(value, 1e-4):.4g}") for value in (squares / number).sqrt().tolist()]


def _open(
    code_tokenizer: str,
    codes: Mapping[str, Any],
    latents: Mapping[str, Any],
    std: Sequence[float],
    statistics: Mapping[str, Any],
    device: torch.device | str,
) -> CodeLatents:
    discrete = cast(DiscreteTokenizer, open_tokenizer(code_tokenizer, codes))
    return CodeLatents(discrete, open_tokenizer("", latents), std, statistics, device)
