"""The contract of a causal tokenizer: shapes, and latents independent of later frames and of the batch."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from training.tokenizer import Stride, Tokenizer
from training.tokenizers import load_tokenizer
from training.tokenizers.causal import Architecture, CausalTokenizer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["random", "small"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A tokenizer with large random weights, so that every layer has an effect; and the bundled one."""
    if request.param == "small":
        return load_tokenizer("small")
    torch.manual_seed(0)
    tokenizer = CausalTokenizer(Architecture(width=32, encoder_blocks=2, decoder_blocks=2)).eval()
    for weight in tokenizer.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return tokenizer


def _video(frames: int, height: int = 32, width: int = 48, clips: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(4)
    return torch.rand(clips, 3, frames, height, width, generator=rng) * 2 - 1


@pytest.mark.parametrize(("frames", "latent"), [(1, 1), (5, 2), (17, 5)])
def test_shapes(tokenizer: Tokenizer, frames: int, latent: int) -> None:
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.stride == Stride(4, 8, 8)
    latents = tokenizer.encode(_video(frames, clips=2))
    assert latents.shape == (2, tokenizer.channels, latent, 4, 6)
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


def test_a_video_that_does_not_fit_the_stride_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="8 frames are not 1 \\+ k \\* 4; keep the first 5"):
        tokenizer.encode(_video(8))


def test_train_and_eval_mode_give_equal_results() -> None:
    torch.manual_seed(0)
    tokenizer = CausalTokenizer(Architecture(width=32, encoder_blocks=1, decoder_blocks=1))
    video = _video(9, clips=2)
    reconstructed, latents = tokenizer.train()(video)
    tokenizer.eval()
    assert torch.allclose(tokenizer.encode(video), latents, atol=1e-5)
    assert torch.allclose(tokenizer.decode(latents), reconstructed, atol=1e-5)
