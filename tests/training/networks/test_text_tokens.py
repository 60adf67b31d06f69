"""Captions become numbers that mean the same everywhere."""

import torch

from training.networks.text_tokens import LENGTH, WORDS, read_words


def test_words_keep_their_numbers_whatever_stands_around_them() -> None:
    one, two = read_words(["A bright shot.", "bright! sea"])
    assert one[1] == two[0]
    assert one[0] != two[1]
    assert 0 < int(one[:3].min()) <= int(one.max()) < WORDS


def test_an_empty_caption_tells_nothing_and_a_long_one_is_cut() -> None:
    empty, long = read_words(["", " ".join(f"w{k}" for k in range(100))])
    assert empty.tolist() == [0] * LENGTH
    assert int((long > 0).sum()) == LENGTH
    assert long.dtype == torch.int64
