"""The length of a caption, and how much it repeats itself."""

import unicodedata

import pytest

from stages.captions.measure_caption import CaptionMeasures, CaptionText, MeasureCaption
from stages.models.chat.words import split_words


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
        ("एक छोटी लड़की बगीचे में एक काली गाय के पास खेल रही है", 13, 0.0),
        ("สุนัขวิ่ง", 5, 0.0),
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("छोटा लड़का, छोटी लड़की", ["छोटा", "लड़का", "छोटी", "लड़की"]),
        ("বাংলা தமிழ் తెలుగు", ["বাংলা", "தமிழ்", "తెలుగు"]),
        ("שָׁלוֹם עולם صَباح", ["שָׁלוֹם", "עולם", "صَباح"]),
        ("می\u200cخواهم بروم", ["میخواهم", "بروم"]),
        ("น้ำตก", ["น้ำ", "ต", "ก"]),
        ("iPhoneの写真・12枚", ["iphone", "の", "写", "真", "12", "枚"]),
        ("한국어 문장입니다", ["한국어", "문장입니다"]),
        ("col·lecció word\u00adbreak ❤\ufe0f", ["col·lecció", "wordbreak"]),
    ],
)
def test_marks_belong_to_their_letter_in_every_script(text: str, words: list[str]) -> None:
    expected = [unicodedata.normalize("NFC", word) for word in words]
    assert split_words(text) == expected
    assert split_words(unicodedata.normalize("NFD", text)) == expected


def test_composed_and_decomposed_captions_have_equal_measures() -> None:
    text = "Un café naïve à Đà Nẵng, encore un café naïve à Đà Nẵng"
    composed, decomposed = measure(*(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))
    assert composed == decomposed
    assert composed.caption_words == 13
