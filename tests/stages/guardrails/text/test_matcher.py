"""Entries are found in every spelling, at the right offsets, and only as whole words."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.guardrails.text.folding import fold
from stages.guardrails.text.matcher import Matcher
from stages.guardrails.text.word_list import WordList, read_word_list

MATCHER = Matcher([read_word_list("default")])
TOY = Matcher(
    [
        WordList(
            "toy",
            "1",
            {"S9": ("bomb*", "pipe gun", "炸弹", "bliah")},
            ("bath bomb*", "bomb cyclone"),
            "0" * 64,
        )
    ]
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a bomb here", "bomb"),
        ("BOMBS!", "BOMB"),
        ("a b o m b", "b o m b"),
        ("b.o.m.b", "b.o.m.b"),
        ("so b-o-m-b, so", "b-o-m-b"),
        ("bo-mb", "bo-mb"),
        ("time-bomb", "bomb"),
        ("ｂｏｍｂ", "ｂｏｍｂ"),
        ("bo\u200bm\u00adb", "bo\u200bm\u00adb"),
        ("bömb", "bömb"),
        ("bo\u0308mb", "bo\u0308mb"),
        ("bоmb", "bоmb"),  # a Cyrillic o
        ("𝐛𝐨𝐦𝐛", "𝐛𝐨𝐦𝐛"),
        ("bo\x01m\0b", "bo\x01m\0b"),
        ("b\u20ddo\u20ddm\u0336b", "b\u20ddo\u20ddm\u0336b"),
        ("🅱🅾🅼🅱", "🅱🅾🅼🅱"),
        ("ⓑⓞⓜⓑ", "ⓑⓞⓜⓑ"),
        ("b0mb", "b0mb"),
        ("boooomb", "boooomb"),
        ("b0000mb", "b0000mb"),
        ("b111!1ah", "b111!1ah"),
        ("pipe  gun", "pipe  gun"),
        ("pipe\ngun", "pipe\ngun"),
        ("p!p3 gun", "p!p3 gun"),
        ("p i p e   g u n", "p i p e   g u n"),
        ("🙂 bomb 🙂", "bomb"),
        ("قنبلة bomb قنبلة", "bomb"),
        ("有人做炸弹了", "炸弹"),
        ("bath bombs and a bomb", "bomb"),
    ],
)
def test_each_spelling_is_found_at_its_offsets(text: str, found: str) -> None:
    match = TOY.find(text)[-1]
    assert (match.text, text[match.start : match.end], match.category) == (found, found, "S9")
    assert match.word_list == "toy 1"


@pytest.mark.parametrize(
    "text",
    ["", " ", "aplomb", "bo mb", "a bo mb", "bmob", "b0b", "8008", "bath bombs", "b-a-t-h b0mb",
     "a bomb cyclone", "pipegun", "bommb", "🙂", "مرحبا بالعالم", "C3PO", "1234 5678"],
)  # fmt: skip
def test_other_words_are_not_found(text: str) -> None:
    assert TOY.find(text) == []


def test_words_are_not_joined_across_blanks() -> None:
    matcher = Matcher([WordList("toy", "1", {"S1": ("deskin", "the rapist")}, (), "0" * 64)])
    assert matcher.find("a desk in the corner, a therapist") == []
    assert [match.text for match in matcher.find("the rapist")] == ["the rapist"]


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_any_text_can_be_searched(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.offsets)
    for match in MATCHER.find(text):
        assert text[match.start : match.end] == match.text


def test_a_prompt_of_100_kb_is_searched_once() -> None:
    """A search that grows with the square of the length would exceed the time limit of the tests."""
    prompt = "a calm river, " * 7000 + "m-u-r-d-e-r"
    [match] = MATCHER.find(prompt)
    assert match.start == 98_000
    for hard in (
        "k" + "1" * 99_000 + " peeople",
        "b0mb! naked eye " * 6000,
        "aaa!1|" * 16_000,
        "n u d e " * 12_000,
    ):
        MATCHER.find(hard)


def test_the_benign_prompts_pass_and_half_of_the_adversarial_ones_are_found() -> None:
    from benchmarks.guardrails import FOLDER, TRICKS, altered, read_prompts

    root = Path(__file__).parents[4]
    benign, adversarial = (read_prompts(root / FOLDER / f"{n}.yaml") for n in ("benign", "adversarial"))
    assert [prompt for prompt in benign if MATCHER.find(prompt)] == []
    for trick in TRICKS:
        found = sum(bool(MATCHER.find(prompt)) for prompt in altered(adversarial, trick))
        assert found > 0.75 * len(adversarial), trick
        wrong = sum(bool(MATCHER.find(prompt)) for prompt in altered(benign, trick))
        assert wrong < 0.04 * len(benign), trick
