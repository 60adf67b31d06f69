"""Captions become token ids that are the same on every machine."""

import torch

from training.networks.text_tokens import MAX_TOKENS, VOCAB_SIZE, tokenize_captions


def test_the_id_of_a_word_does_not_depend_on_its_neighbors() -> None:
    one, two = tokenize_captions(["A bright shot.", "bright! sea"])
    assert one[1] == two[0]
    assert one[0] != two[1]
    assert 0 < int(one[:3].min()) <= int(one.max()) < VOCAB_SIZE


def test_an_empty_caption_is_padding_and_a_long_one_is_truncated() -> None:
    empty, long = tokenize_captions(["", " ".join(f"w{k}" for k in range(100))])
    assert empty.tolist() == [0] * MAX_TOKENS
    assert int((long > 0).sum()) == MAX_TOKENS
    assert long.dtype == torch.int64
