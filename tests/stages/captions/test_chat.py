"""What a model said, as it is kept: whatever it said, the text fits into any file, and its status is told."""

import pyarrow as pa
import pytest

from manifests.schema import schema_of, table_of
from stages.captions.caption_clip import Captioned
from stages.captions.chat import Unanswered, said, tidy


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a dog\x00 barks\x07", "a dog  barks"),
        ("half \ud83d of a pair", "half ? of a pair"),
        ("a 🦮 and שלום, مرحبا", "a 🦮 and שלום, مرحبا"),
        ("right \u202eto left\u202c", "right \u202eto left\u202c"),
        ("line\r\nfeeds\tand tabs\n", "line\nfeeds\tand tabs"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_any_text_is_kept_in_a_form_that_files_can_hold(text: str, kept: str) -> None:
    assert tidy(text) == kept
    told = said(text, "stop")
    assert (told.text, told.status) == (kept, "ok")
    schema = pa.schema([schema_of(Captioned).field("caption")])
    assert table_of([{"caption": told.text}], schema)["caption"].to_pylist() == [kept]


def test_a_text_without_an_end_is_truncated() -> None:
    assert said("a dog and", "length").status == "truncated"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot see the pictures.",
        "Sorry, I can't describe people.",
        "I cannot assist with this request.",
        "I am unable to view pictures.",
        "As an AI, I see nothing.",
    ],
)
def test_a_refusal_is_no_caption(text: str) -> None:
    told = said(text, "stop")
    assert (told.text, told.status) == ("", "refused")


@pytest.mark.parametrize(
    "text",
    [
        "A woman says that she is sorry.",
        "I see a dog.",
        "Sorry faces look at the rain.",
        "An AI lab, as an aisle of servers is lit.",
    ],
)
def test_what_only_sounds_like_one_is(text: str) -> None:
    assert said(text, "stop").status == "ok"


def test_a_refusal_that_is_told_apart() -> None:
    assert said("", "stop", "no people, please").status == "refused"
    assert said("half", "content_filter").text == ""


def test_thoughts_are_left_out() -> None:
    assert said("<think>a cat? no</think>\n\nA dog.", "stop").text == "A dog."
    assert said("A sign says <think>.", "stop").text == "A sign says <think>."
    with pytest.raises(Unanswered, match="raise max_tokens"):
        said("<think>a cat? no, wait", "length")


@pytest.mark.parametrize("text", ["", "  \n", "\x00"])
def test_nothing_is_no_caption(text: str) -> None:
    with pytest.raises(Unanswered, match="said nothing"):
        said(text, "stop")
