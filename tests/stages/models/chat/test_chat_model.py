"""Responses of a model: the text fits into any file, and the status is correct."""

import pyarrow as pa
import pytest

from manifests.schema import schema_of, table_of
from stages.captions.caption_clip import Caption
from stages.models.chat.chat_model import NoResponse, clean_text, make_response


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog\x00 barks\x07", "a dog  barks"),
        ("half \ud83d of a pair", "half ? of a pair"),
        ("a 🦮 and שלום, مرحبا", "a 🦮 and שלום, مرحبا"),
        ("right \u202eto left\u202c", "right \u202eto left\u202c"),
        ("line\r\nfeeds\tand tabs\n", "line\nfeeds\tand tabs"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_any_text_becomes_text_that_files_can_hold(text: str, expected: str) -> None:
    assert clean_text(text) == expected
    response = make_response(text, "stop")
    assert (response.text, response.status) == (expected, "ok")
    schema = pa.schema([schema_of(Caption).field("caption")])
    assert table_of([{"caption": response.text}], schema)["caption"].to_pylist() == [expected]


def test_an_incomplete_text_is_truncated() -> None:
    assert make_response("a dog and", "length").status == "truncated"


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
def test_a_refusal_has_no_text(text: str) -> None:
    response = make_response(text, "stop")
    assert (response.text, response.status) == ("", "refused")


@pytest.mark.parametrize(
    "text",
    [
        "A woman says that she is sorry.",
        "I see a dog.",
        "Sorry faces look at the rain.",
        "An AI lab, as an aisle of servers is lit.",
    ],
)
def test_texts_that_resemble_a_refusal_are_captions(text: str) -> None:
    assert make_response(text, "stop").status == "ok"


def test_a_separate_refusal_is_recognized() -> None:
    assert make_response("", "stop", "no people, please").status == "refused"
    assert make_response("half", "content_filter").text == ""


def test_thinking_is_removed() -> None:
    assert make_response("<think>a cat? no</think>\n\nA dog.", "stop").text == "A dog."
    assert make_response("A sign says <think>.", "stop").text == "A sign says <think>."
    with pytest.raises(NoResponse, match="raise max_tokens"):
        make_response("<think>a cat? no, wait", "length")


@pytest.mark.parametrize("text", ["", "  \n", "\x00"])
def test_an_empty_text_is_an_error(text: str) -> None:
    with pytest.raises(NoResponse, match="returned no text"):
        make_response(text, "stop")
