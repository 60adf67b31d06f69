"""Tokenizers of pixels lose nothing, also in float16, in parts and from a batch of clips."""

import numpy as np
import pytest
import torch

from training.errors import CheckpointError
from training.recipes.sampling import open_tokenizer
from training.tokenizer import Tokenizer
from training.tokenizers import load_tokenizer, tokenizer_digest, tokenizer_stride
from training.tokenizers.weights import PIXELS


@pytest.fixture
def video() -> torch.Tensor:
    """Every value that a frame can have, in noise, [2 3 5 16 24]."""
    values = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 16, 24))
    assert len(np.unique(values)) == 256
    return torch.from_numpy(values).float() / 127.5 - 1


@pytest.mark.parametrize("name", PIXELS)
def test_every_pixel_comes_back(name: str, video: torch.Tensor) -> None:
    tokenizer = load_tokenizer(name)
    patch = int(name[-1])
    assert isinstance(tokenizer, Tokenizer)
    assert tuple(tokenizer.stride) == tokenizer_stride(name) == (1, patch, patch)
    latents = tokenizer.encode(video)
    assert latents.shape == (2, 3 * patch * patch, 5, 16 // patch, 24 // patch) == (
        2, tokenizer.channels, 5, 16 // patch, 24 // patch,
    )  # fmt: skip
    assert torch.equal(tokenizer.decode(latents), video)
    stored = tokenizer.decode(latents.half().float())
    assert torch.equal(((stored + 1) * 127.5).round(), ((video + 1) * 127.5).round())


def test_a_patch_has_the_pixels_of_its_place(video: torch.Tensor) -> None:
    latents = load_tokenizer("pixels-4").encode(video)
    assert torch.equal(latents[:, :16, 3, 1, 2], video[:, 0, 3, 4:8, 8:12].flatten(1))


def test_a_stream_gives_the_latents_of_the_whole(video: torch.Tensor) -> None:
    tokenizer = load_tokenizer("pixels-8")
    parts = list(tokenizer.encode_stream([video[:, :, :2], video[:, :, 2:]]))
    assert torch.equal(torch.cat(parts, 2), tokenizer.encode(video))
    assert torch.equal(torch.cat(list(tokenizer.decode_stream(parts)), 2), video)


def test_a_model_finds_it_by_its_recorded_name_and_digest() -> None:
    digests = {name: tokenizer_digest(name) for name in PIXELS}
    assert len(set(digests.values())) == len(PIXELS)
    for name, digest in digests.items():
        assert open_tokenizer("", {"tokenizer": name, "digest": digest}).digest == digest
    with pytest.raises(CheckpointError, match="not the one"):
        open_tokenizer("pixels-2", {"tokenizer": "pixels-4", "digest": digests["pixels-4"]})


def test_another_patch_is_refused_with_the_names() -> None:
    with pytest.raises(CheckpointError, match=r"pixels-2, pixels-4, pixels-8"):
        load_tokenizer("pixels-3")
