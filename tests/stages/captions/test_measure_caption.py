"""The length of a caption, and how much it repeats itself."""

import pytest

from stages.captions.measure_caption import CaptionMeasures, CaptionText, MeasureCaption
from stages.captions.words import split_words


def measure(*captions: str) -> list[CaptionMeasures]:
    return list(MeasureCaption().annotate([CaptionText(caption=caption) for caption in captions]))


@pytest.mark.parametrize(
    ("caption", "words", "repetition"),
    [
        ("", 0, 0.0),
        ("A dog.", 2, 0.0),
        ("A dog runs, and a cat doesn't.", 7, 0.0),
        ("the dog runs the dog runs the dog runs", 9, 4 / 7),
        ("no no no no no no", 6, 3 / 4),
        ("一只狗在草地上跑。", 8, 0.0),
        ("狗狗狗狗狗", 5, 2 / 3),
        ("A 🦮\x00 and שלום עולם", 4, 0.0),
        ("word " * 20_000, 20_000, 1 - 1 / 19_998),
    ],
)
def test_words_characters_and_repetition(caption: str, words: int, repetition: float) -> None:
    [row] = measure(caption)
    assert row.caption_words == words
    assert row.caption_characters == len(caption)
    assert row.caption_repetition == round(repetition, 6)


def test_an_enhanced_caption_replaces_the_caption() -> None:
    rows = [CaptionText(caption="one two", enhanced_caption=text) for text in ("a b c d", None, "")]
    assert [row.caption_words for row in MeasureCaption().annotate(rows)] == [4, 2, 2]


def test_the_same_at_batch_1_and_8() -> None:
    captions = [f"a dog number {n} runs and runs and runs" for n in range(8)]
    assert measure(*captions) == [row for caption in captions for row in measure(caption)]


def test_words_are_split() -> None:
    assert split_words("It’s a RED-hot car_park; 3.5 m!") == [
        "it’s",
        "a",
        "red",
        "hot",
        "car",
        "park",
        "3",
        "5",
        "m",
    ]
