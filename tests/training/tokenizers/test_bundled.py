"""The bundled tokenizer is better than 16 wavelet coefficients, and its latents suit diffusion."""

import math

import pytest
import torch
from torch import Tensor

from training.metrics.image_quality import psnr, ssim
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.linear import patch_moments, truncated_haar
from training.tokenizers.weights import BUNDLED, read_metadata

MAX_BYTES = 12_000_000


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_file_is_small_and_describes_its_training(name: str) -> None:
    data = BUNDLED[name].read_bytes()
    assert len(data) <= MAX_BYTES
    trained = read_metadata(data, BUNDLED[name])["trained"]
    assert trained["data"]
    assert trained["held_out"]
    assert not set(trained["data"]) & set(trained["held_out"])


@pytest.fixture(scope="module")
def clip() -> Tensor:
    """A panning texture with a rotating bar and a moving disc, [1 3 17 96 128]."""
    rng = torch.Generator().manual_seed(9)
    texture = torch.zeros(3, 112, 176)
    for size, weight in ((3, 0.5), (6, 0.35), (12, 0.2), (24, 0.12), (48, 0.08)):
        noise = torch.randn(1, 4, size, size * 176 // 112, generator=rng)
        enlarged = torch.nn.functional.interpolate(noise, (112, 176), mode="bicubic")[0]
        texture += weight * (enlarged[:1] + 0.2 * enlarged[1:])  # gray, and a little color
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    frames = []
    for k in range(17):
        frame = texture[:, k // 2 : k // 2 + 96, 2 * k : 2 * k + 128].clone()
        angle = 0.1 * k
        along = (x - 40) * math.cos(angle) + (y - 50) * math.sin(angle)
        frame[:, (along.abs() < 5) & ((x - 40) ** 2 + (y - 50) ** 2 < 900)] = 0.8
        frame[0, (x - 30 - 4 * k) ** 2 + (y - 30 - k) ** 2 < 150] = -0.7
        frames.append(frame.clamp(-1, 1))
    return torch.stack(frames, 1)[None]


def test_reconstruction_is_better_than_with_the_wavelets_fitted_to_this_clip(clip: Tensor) -> None:
    tokenizer = load_tokenizer("small")
    wavelets = truncated_haar(*patch_moments([clip], tokenizer.stride), tokenizer.channels, tokenizer.stride)
    baseline = wavelets.reconstruct(clip)
    with torch.inference_mode():
        ours = tokenizer.decode(tokenizer.encode(clip))
    assert float(psnr(ours, clip)) > float(psnr(baseline, clip)) + 0.5
    assert float(ssim(ours, clip)) > float(ssim(baseline, clip))


def test_the_discrete_tokenizer_is_better_than_as_many_wavelets_without_quantization(clip: Tensor) -> None:
    tokenizer = load_tokenizer("small-discrete")
    assert isinstance(tokenizer, CausalTokenizer)
    assert tokenizer.codebook_size == 64_000
    wavelets = truncated_haar(*patch_moments([clip], tokenizer.stride), tokenizer.channels, tokenizer.stride)
    with torch.inference_mode():
        indices = tokenizer.encode_indices(clip)
        ours = tokenizer.decode_indices(indices)
    assert float(psnr(ours, clip)) > float(psnr(wavelets.reconstruct(clip), clip))
    assert len(indices.unique()) > 100


def test_latents_are_of_about_unit_variance(clip: Tensor) -> None:
    with torch.inference_mode():
        latents = load_tokenizer("small").encode(clip)
    assert 0.5 < float(latents.std()) < 1.5
    assert abs(float(latents.mean())) < 0.5
