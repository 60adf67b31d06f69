"""The byte-level text encoder depends only on the caption, and learns which captions differ."""

import pytest
import torch

from training.text_encoder import TextEncoder
from training.text_encoders import byte_level
from training.text_encoders.byte_level import MAX_BYTES, STRIDE, ByteLevelTextEncoder
from training.text_encoders.registry import load_text_encoder

CAPTIONS = ["a slow pan", "", "über 日本", "x", "a slow pan over a long beach at dusk"]


def test_a_caption_has_the_same_embedding_in_every_batch() -> None:
    encoder = ByteLevelTextEncoder(32)
    embeddings, mask = encoder(CAPTIONS, "cpu")
    assert embeddings.shape == (5, -(-len(CAPTIONS[-1]) // STRIDE), 32)
    assert mask.sum(1).tolist() == [-(-len(caption.encode()) // STRIDE) for caption in CAPTIONS]
    for row, caption in enumerate(CAPTIONS):
        alone, own_mask = encoder([caption], "cpu")
        n = int(mask[row].sum())
        torch.testing.assert_close(alone[0, :n], embeddings[row, :n], rtol=1e-4, atol=1e-5)
        assert not embeddings[row, n:].any()
        assert int(own_mask.sum()) == n


def test_evaluation_equals_training_mode() -> None:
    encoder = ByteLevelTextEncoder(32)
    expected, _ = encoder(CAPTIONS, "cpu")
    with torch.inference_mode():
        out, _ = encoder.eval()(CAPTIONS, "cpu")
    torch.testing.assert_close(out, expected.detach(), rtol=1e-4, atol=1e-5)


def test_empty_captions_are_zeros_and_have_a_finite_gradient() -> None:
    encoder = ByteLevelTextEncoder(32)
    embeddings, mask = encoder(["", ""], "cpu")
    assert embeddings.shape == (2, 1, 32)
    assert not embeddings.any()
    assert not mask.any()
    encoder(["", "ab"], "cpu")[0].square().sum().backward()
    gradients = [p.grad for p in encoder.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_each_byte_and_its_place_count() -> None:
    encoder = ByteLevelTextEncoder(32).requires_grad_(False)
    embeddings, _ = encoder(["abcdefgh", "abcdefgi", "efghabcd"], "cpu")
    assert float((embeddings[0] - embeddings[1]).abs().max()) > 0.01
    assert float((embeddings[0] - embeddings[2].flip(0)).abs().max()) > 0.01
    long = "y" * MAX_BYTES
    assert torch.equal(*encoder([long, long + "cut"], "cpu")[0])


def test_initial_weights_depend_only_on_the_seed() -> None:
    torch.manual_seed(1)
    one, other = ByteLevelTextEncoder(32), ByteLevelTextEncoder(32, seed=1)
    torch.manual_seed(2)
    with torch.device("meta"):
        again = ByteLevelTextEncoder(32)
    again.to_empty(device="cpu").reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.patch_embed.weight, other.patch_embed.weight)


def test_it_says_what_it_is() -> None:
    encoder = load_text_encoder("byte_level", 64)
    assert isinstance(encoder, ByteLevelTextEncoder)
    assert isinstance(encoder, TextEncoder)
    assert encoder.embed_dim == 64
    assert encoder.info == {"name": "byte_level"}
    assert "no knowledge of language" in str(byte_level.__doc__)
    with pytest.raises(ValueError, match="multiple of 4"):
        ByteLevelTextEncoder(30)
