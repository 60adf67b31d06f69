"""The Cosmos tokenizers: published sizes, and the values of diffusers' AutoencoderKLCosmos."""

import pytest
import torch
from torch import Tensor

from training.tokenizers.cosmos.config import CONFIGS, CosmosTokenizerConfig
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.cosmos.wavelet import haar_transform, inverse_haar_transform

CHANNELS = {"encoder_block_out_channels": (16, 24, 32, 32), "decode_block_out_channels": (24, 32, 32, 32)}
RATIOS = [(4, 8, 8), (2, 8, 4), (4, 16, 8)]  # patch, space, time


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("CV8x8x8", 105_653_696),
        ("CV4x8x8", 110_208_816),
        ("DV8x16x16", 110_898_294),
        ("DV4x8x8", 112_619_766),
    ],
)
def test_a_published_shape_has_its_published_number_of_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        tokenizer = CosmosTokenizer(CONFIGS[name])
    assert sum(p.numel() for p in tokenizer.parameters()) == parameters
    strides = "x".join(map(str, tokenizer.stride))
    assert strides == name[2:]


@pytest.mark.parametrize(("patch", "space", "time"), RATIOS)
def test_values_are_those_of_diffusers(patch: int, space: int, time: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    ratios = {"patch_size": patch, "spatial_compression_ratio": space, "temporal_compression_ratio": time}
    theirs = diffusers.AutoencoderKLCosmos(**CHANNELS, **ratios).eval()
    ours = CosmosTokenizer(CosmosTokenizerConfig(**CHANNELS, **ratios)).eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert set(missing) == {"latent_mean", "latent_std"}
    assert not unexpected
    video = torch.rand(2, 3, 1 + 3 * time, 32, 48) * 2 - 1
    with torch.inference_mode():
        expected = theirs.encode(video).latent_dist.mode()
        decoded = theirs.decode(expected).sample
        reconstructed, latents = ours(video)
        assert torch.allclose(ours.encode(video), expected, atol=1e-5)
        assert torch.allclose(latents, expected, atol=1e-5)
        tolerance = 1e-5 * float(decoded.abs().max())
        assert torch.allclose(ours.decode(expected), decoded, atol=tolerance)
        assert torch.allclose(reconstructed, decoded, atol=tolerance)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_wavelet_transform_is_inverted_and_begins_with_means(levels: int) -> None:
    video = torch.rand(1, 8, 8, 12, 3, dtype=torch.float64)
    bands = haar_transform(video, levels)
    size = 2**levels
    assert bands.shape == (1, 8 // size, 8 // size, 12 // size, 3 * 8**levels)
    assert torch.allclose(inverse_haar_transform(bands, levels), video)
    means = torch.nn.functional.avg_pool3d(video.movedim(-1, 1), size).movedim(1, -1)
    assert torch.allclose(bands[..., :3], means)


def test_the_window_of_attention_matters_only_for_longer_videos() -> None:
    def latents_of(video: Tensor, window: int | None) -> Tensor:
        torch.manual_seed(0)
        config = CosmosTokenizerConfig(**CHANNELS, temporal_attention_window=window)
        with torch.inference_mode():
            return CosmosTokenizer(config).eval().encode(video)

    video = torch.rand(1, 3, 33, 16, 16) * 2 - 1
    unlimited, limited = latents_of(video, None), latents_of(video, 3)
    assert torch.equal(unlimited[:, :, :3], limited[:, :, :3])
    assert not torch.allclose(unlimited[:, :, 4], limited[:, :, 4], atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch_size": 3}, "powers of two"),
        ({"temporal_compression_ratio": 16}, "do not give a compression"),
        ({"levels": (8, 8)}, "need as many latent_channels"),
        ({"decode_block_out_channels": (16, 32)}, "equal lengths"),
    ],
)
def test_a_config_that_does_not_fit_together_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosmosTokenizerConfig(**values)  # type: ignore[arg-type]
