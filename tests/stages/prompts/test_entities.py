"""What a prompt names is found again in its caption, or is missing: cases by hand."""

import pytest

from stages.prompts.entities import find_entities, missing_entities


def test_what_a_prompt_names() -> None:
    found = find_entities(
        'Two dogs chase a red R2D2 past the "Open  24h" sign in New York at 5 pm, 1,200 m up.'
    )
    assert found.quoted == ("Open 24h",)
    assert found.numbers == ("2", "5", "1200")
    assert found.names == ("R2D2", "New", "York")
    assert found.words == ("dogs", "chase", "red", "past", "sign")


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("two dogs running on a beach", "On the beaches, 2 dogs run and a dog runs."),
        ("a puppy dances", "The puppies are dancing."),
        ("NASA's rocket, 3.5 m tall", "A rocket of NASA that is 3.5 m tall."),
        ("a sign that says “Hello World”", "A sign, which says HELLO\n world, stands."),
        ("A DOG IN RAIN", "A dog walks in the rain."),
        ("The dog barks. The cat sits.", "A dog barks while a cat sits."),
        ("כלב רץ על החוף", "כלב חום רץ מהר על החוף הרחב"),
        ("一只狗在海滩上奔跑", "A caption in another language."),  # words without spaces are not found
        ("٣ dogs", "3 dogs"),
        ("🦮 🏖️", "A guide dog on a beach."),
        ("", ""),
    ],
)
def test_captions_that_keep_all(prompt: str, caption: str) -> None:
    assert missing_entities(find_entities(prompt), caption) == ([], [])


@pytest.mark.parametrize(
    ("prompt", "caption", "strict", "words"),
    [
        ("two dogs on a beach", "Three dogs run on the beach.", ["2"], []),
        ("two dogs on a beach", "Two animals run on the beach.", [], ["dogs"]),
        ("a car in Paris", "A car in a city.", ["Paris"], []),
        ("a sign 'Go left'", "A sign that says go right and left.", ["Go left"], []),
        ("12 cats", "112 cats", ["12"], []),
        ("a cat", "A catalogue.", [], ["cat"]),
        ("כלב רץ", "חתול רץ", [], ["כלב"]),
    ],
)
def test_captions_that_leave_something_out(
    prompt: str, caption: str, strict: list[str], words: list[str]
) -> None:
    assert missing_entities(find_entities(prompt), caption) == (strict, words)
