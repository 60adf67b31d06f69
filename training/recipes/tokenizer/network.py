"""The networks of the training of a tokenizer: the tokenizer, and a discriminator."""

import math
from dataclasses import asdict

import torch
from torch import nn

from training.errors import SettingError
from training.recipes.tokenizer.config import TokenizerConfig
from training.tensors import Video
from training.tokenizer import Stride
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.cosmos.config import CONFIGS
from training.tokenizers.crops import RandomCrops
from training.tokenizers.discriminator import VideoDiscriminator
from training.tokenizers.linear import LinearTokenizer, patch_moments, principal
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.patches import PixelTokenizer
from training.tokenizers.weights import build_tokenizer

MOMENTS_CROPS = 4  # crops of a batch of which moments are measured
MIN_STD = 1e-4  # of a channel that does not vary


class TokenizerModel(nn.Module):
    """All that is trained.

    Args:
        tokenizer: The tokenizer.
        discriminator: The discriminator of the adversarial stage, or None.
    """

    def __init__(self, tokenizer: CausalTokenizer, discriminator: VideoDiscriminator | None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.discriminator = discriminator


def build_model(config: TokenizerConfig, crops: RandomCrops) -> TokenizerModel:
    """The networks with their initial weights, which are the same on all ranks.

    Raises:
        SettingError: The initial weights are of a tokenizer that cannot be trained here.
    """
    torch.manual_seed(config.seed)
    if config.init_from:
        tokenizer = load_tokenizer(config.init_from)
        if not isinstance(tokenizer, CausalTokenizer) or isinstance(tokenizer, PixelTokenizer):
            raise SettingError(
                f"a tokenizer of the class {type(tokenizer).__name__} cannot be trained here",
                where=config.init_from,
                remedy="start from a tokenizer that Clipmill trained, or from AutoencoderKLCosmos",
            )
    elif config.model == "patch":
        tokenizer = _build_patch(config, crops)
    else:
        tokenizer = build_tokenizer("cosmos", asdict(CONFIGS[config.model]))
    _check_size(config, tokenizer.stride)
    has_discriminator = config.adversarial_weight > 0
    discriminator = VideoDiscriminator(config.discriminator_channels) if has_discriminator else None
    return TokenizerModel(tokenizer.train().requires_grad_(True), discriminator)


def _check_size(config: TokenizerConfig, stride: Stride) -> None:
    multiple = math.lcm(stride.height, stride.width)
    if (config.frames - 1) % stride.time or config.size_px % multiple:
        raise SettingError(
            f"crops of {config.frames} frames of {config.size_px} px do not fit the strides {tuple(stride)}"
            " of the tokenizer",
            remedy=f"set frames to 1 + a multiple of {stride.time}, and size_px to a multiple of {multiple}",
        )


def _build_patch(config: TokenizerConfig, crops: RandomCrops) -> PatchTokenizer:
    """A patch tokenizer that starts as the principal components of patches."""
    time, height, width = map(int, config.stride)
    _check_size(config, Stride(time, height, width))
    levels = tuple(map(int, config.levels))
    tokenizer = PatchTokenizer(
        PatchTokenizerConfig(
            stride=(time, height, width),
            width=config.width,
            channels=len(levels) or PatchTokenizerConfig.channels,
            encoder_blocks=config.encoder_blocks,
            decoder_blocks=config.decoder_blocks,
            levels=levels,
        )
    )
    moments = patch_moments(sample_crops(config, crops), tokenizer.stride)
    _init_from_linear(tokenizer, principal(*moments, tokenizer.channels, tokenizer.stride))
    return tokenizer


def sample_crops(config: TokenizerConfig, crops: RandomCrops) -> list[Video]:
    """Crops that are not trained on, of which statistics are measured."""
    steps = range(config.steps, config.steps + config.statistics_batches)
    return [crops.batch(step, MOMENTS_CROPS) for step in steps]


@torch.no_grad()
def _init_from_linear(tokenizer: PatchTokenizer, linear: LinearTokenizer) -> None:
    """Set the linear layers to the projection and its inverse, so that latents have unit variance.

    Of a discrete tokenizer the values before quantization have unit variance.
    """
    basis, mean = linear.basis, linear.mean
    scale = linear.std if tokenizer.codebook_size else torch.ones_like(linear.std)
    basis = basis / scale.clamp(min=MIN_STD)[:, None]
    for layer, weight, bias in (
        (tokenizer.encoder.linear, basis, -basis @ mean),
        (tokenizer.decoder.linear, linear.basis.T * scale, mean),
    ):
        assert layer.bias is not None
        layer.weight.copy_(weight[:, :, None, None])
        layer.bias.copy_(bias)
    for layer in (tokenizer.encoder.out, tokenizer.decoder.out):
        assert layer.bias is not None
        layer.bias.zero_()
    if not tokenizer.codebook_size:
        tokenizer.latent_std.copy_(linear.std[:, None].clamp(min=MIN_STD))


@torch.no_grad()
def measure_latents(tokenizer: CausalTokenizer, videos: list[Video]) -> None:
    """Measure mean and standard deviation of the latents again. Decoded videos do not change.

    A discrete tokenizer has none.
    """
    if tokenizer.codebook_size:
        return
    latents = torch.cat([tokenizer.encode(v).transpose(0, 1).flatten(1) for v in videos], 1)  # [c n]
    tokenizer.latent_mean.add_(latents.mean(1)[:, None] * tokenizer.latent_std)
    tokenizer.latent_std.mul_(latents.std(1)[:, None].clamp(min=MIN_STD))
