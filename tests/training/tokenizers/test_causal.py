"""The contract of a causal tokenizer: shapes, and latents independent of later frames and of the batch."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from training.tokenizer import Tokenizer
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.cosmos.config import CosmosTokenizerConfig
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.frame_cache import FrameCache
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def _randomized(tokenizer: CausalTokenizer) -> CausalTokenizer:
    """With large random weights and statistics, so that every layer has an effect."""
    torch.manual_seed(0)
    for weight in tokenizer.parameters():
        std = 0.2 if weight.dim() == 1 else 1.5 * weight[0].numel() ** -0.5
        torch.nn.init.normal_(weight, std=std)
    if not tokenizer.codebook_size:
        tokenizer.latent_mean.normal_()
        tokenizer.latent_std.uniform_(0.5, 2)
    return tokenizer.eval()


@pytest.fixture(params=["patch", "small", "cosmos", "discrete patch", "discrete cosmos"], scope="module")
def tokenizer(request: pytest.FixtureRequest) -> CausalTokenizer:
    """The tokenizer of each class, continuous and discrete, and the bundled one."""
    if request.param == "small":
        return load_tokenizer("small")
    is_discrete = request.param.startswith("discrete")
    levels = (8, 8, 5) if is_discrete else ()
    if request.param.endswith("patch"):
        blocks = {"width": 32, "encoder_blocks": 2, "decoder_blocks": 2}
        channels = 3 if is_discrete else 16
        return _randomized(PatchTokenizer(PatchTokenizerConfig(**blocks, channels=channels, levels=levels)))
    config = CosmosTokenizerConfig(
        latent_channels=3 if is_discrete else 16, encoder_block_out_channels=(8, 12, 16, 16),
        decode_block_out_channels=(8, 12, 16, 16), num_layers=1, patch_size=2 if is_discrete else 4,
        temporal_compression_ratio=4, spatial_compression_ratio=4 if is_discrete else 8, levels=levels,
        z_channels=4 if is_discrete else None, temporal_attention_window=3,
    )  # fmt: skip
    return _randomized(CosmosTokenizer(config, normalized_frames=1 if is_discrete else 2))


def _video(frames: int, height: int = 32, width: int = 48, clips: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(4)
    return torch.rand(clips, 3, frames, height, width, generator=rng) * 2 - 1


@pytest.mark.parametrize(("frames", "latent"), [(1, 1), (5, 2), (17, 5)])
def test_shapes(tokenizer: Tokenizer, frames: int, latent: int) -> None:
    assert isinstance(tokenizer, Tokenizer)
    latents = tokenizer.encode(_video(frames, clips=2))
    height, width = 32 // tokenizer.stride.height, 48 // tokenizer.stride.width
    assert latents.shape == (2, tokenizer.channels, latent, height, width)
    assert tokenizer.decode(latents).shape == (2, 3, frames, 32, 48)


def test_latents_do_not_depend_on_later_frames(tokenizer: Tokenizer) -> None:
    video = _video(17)
    changed = torch.cat([video[:, :, :9], -video[:, :, 9:]], 2)
    whole, other = tokenizer.encode(video), tokenizer.encode(changed)
    assert torch.equal(whole[:, :, :3], other[:, :, :3])
    assert not torch.equal(whole[:, :, 3], other[:, :, 3])


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_a_prefix_has_the_latents_and_the_frames_of_the_whole(tokenizer: Tokenizer, frames: int) -> None:
    video = _video(17)
    whole, prefix = tokenizer.encode(video), tokenizer.encode(video[:, :, :frames])
    assert torch.equal(prefix, whole[:, :, : prefix.shape[2]])
    assert torch.equal(tokenizer.decode(prefix), tokenizer.decode(whole)[:, :, :frames])


def test_an_image_is_the_first_frame_of_a_video(tokenizer: Tokenizer) -> None:
    video = _video(5)
    assert torch.equal(tokenizer.encode(video[:, :, :1]), tokenizer.encode(video)[:, :, :1])


def test_a_clip_has_the_same_latents_in_any_batch(tokenizer: Tokenizer) -> None:
    video = _video(9, clips=3)
    whole = tokenizer.encode(video)
    assert torch.equal(tokenizer.encode(video[1:2]), whole[1:2])


def test_parts_of_a_video_have_the_latents_and_the_frames_of_the_whole(tokenizer: CausalTokenizer) -> None:
    video = _video(29, clips=2)
    whole = tokenizer.encode(video)
    parts = list(tokenizer.encode_stream([video[:, :, :5], video[:, :, 5:17], video[:, :, 17:]]))
    assert torch.equal(torch.cat(parts, 2), whole)
    decoded = list(tokenizer.decode_stream([whole[:, :, :1], whole[:, :, 1:4], whole[:, :, 4:]]))
    assert torch.allclose(torch.cat(decoded, 2), tokenizer.decode(whole), atol=1e-5)
    with pytest.raises(ValueError, match="3 frames that follow others"):
        list(tokenizer.encode_stream([video[:, :, :5], video[:, :, 5:8]]))


def test_more_frames_per_chunk_and_one_pass_give_the_same_up_to_rounding(tokenizer: CausalTokenizer) -> None:
    video = _video(29)
    reconstructed, latents = tokenizer(video)
    whole = tokenizer.encode(video)
    tokenizer.latent_frames_per_chunk = 3
    chunked = tokenizer.encode(video)
    decoded = tokenizer.decode(latents)
    tokenizer.latent_frames_per_chunk = 1
    scale = float(reconstructed.abs().max())
    if tokenizer.codebook_size:  # rounding can move a value to the next level
        assert (chunked != whole).float().mean() < 0.01
        assert (latents != whole).float().mean() < 0.01
    else:
        assert torch.allclose(chunked, whole, atol=1e-4)
        assert torch.allclose(latents, whole, atol=1e-4)
    assert torch.allclose(decoded, reconstructed, atol=1e-5 * scale)
    assert torch.allclose(tokenizer.decode_batch(latents), decoded, atol=1e-5 * scale)


def test_memory_does_not_grow_with_the_length(tokenizer: CausalTokenizer) -> None:
    """The bytes that layers keep between parts are the same after 10 and after 20 parts."""
    kept: list[int] = []
    for parts in (10, 20):
        cache = FrameCache()
        stride = tokenizer.stride
        tokenizer.encode_chunk(torch.zeros(1, 3, 1, 32, 32), cache.start_chunk())
        for _ in range(parts):
            tokenizer.encode_chunk(torch.zeros(1, 3, stride.time, 32, 32), cache.start_chunk())
        kept.append(cache.kept_bytes())
    assert kept[0] == kept[1] > 0


def test_a_discrete_tokenizer_decodes_indices(tokenizer: CausalTokenizer) -> None:
    video = _video(9)
    if not tokenizer.codebook_size:
        with pytest.raises(ValueError, match="continuous"):
            tokenizer.encode_indices(video)
        return
    indices = tokenizer.encode_indices(video)
    latents = tokenizer.encode(video)
    assert indices.shape == (1, *latents.shape[2:])
    assert indices.dtype == torch.int32
    assert torch.equal(tokenizer.decode_indices(indices.to(torch.uint16)), tokenizer.decode(latents))


def test_a_video_that_does_not_fit_the_stride_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="8 frames are not 1 \\+ k \\* 4; keep the first 5"):
        tokenizer.encode(_video(8))
