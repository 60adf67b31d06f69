"""Responses that deviate from the API: finish reasons, parts, streams, and errors with status 200."""

import json
from typing import Any

import pytest
from chat_server import ChatServer, Reply, completion

from pipeline import Unavailable
from stages.models.chat.chat_model import ChatRequest, NoResponse
from stages.models.chat.completion import BadBody, find_error, parse_completion
from tests.stages.models.chat.test_endpoint import complete_all, in_turn

REQUEST = ChatRequest("What is it?")
ANSWER, HALF = "A brown dog runs.", "A brown dog runs over"
KEY = "sk-secret-42"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)


def parse(message: dict[str, Any], reason: Any = "stop") -> tuple[str, str]:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    response = parse_completion(json.dumps(body).encode(), 1.0)
    return response.text, response.status


@pytest.mark.parametrize("reason", ["stop", "STOP", "eos", "end_turn", "stop_sequence"])
def test_a_complete_answer_is_ok(reason: str) -> None:
    assert parse({"content": HALF}, reason) == (HALF, "ok")


@pytest.mark.parametrize(
    "reason",
    ["length", "max_tokens", "MAX_TOKENS", "model_length", "error", "abort", "tool_calls", "something_new"],
)
def test_any_other_reason_is_truncated(reason: str) -> None:
    assert parse({"content": ANSWER}, reason) == (ANSWER, "truncated")


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal", "PROHIBITED_CONTENT"])
def test_a_filter_is_a_refusal(reason: str) -> None:
    assert parse({"content": HALF}, reason) == ("", "refused")


@pytest.mark.parametrize("reason", [None, "", 7])
def test_without_a_reason_the_end_of_the_sentence_decides(reason: Any) -> None:
    assert parse({"content": HALF}, reason)[1] == "truncated"
    for text in (ANSWER, 'It says "stop!"', "一只狗在草地上跑。", "एक कुत्ता दौड़ता है।"):
        assert parse({"content": text}, reason)[1] == "ok"


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": ANSWER}],
        [{"type": "output_text", "text": ANSWER}],
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "a cat?"}]},
            {"type": "text", "text": ANSWER},
        ],
        ["A brown ", {"text": "dog runs."}],
        {"type": "text", "text": ANSWER},
    ],
)
def test_parts_of_text_are_joined(content: Any) -> None:
    assert parse({"content": content}) == (ANSWER, "ok")


def test_a_refusal_may_be_a_part() -> None:
    assert parse({"content": [{"type": "refusal", "refusal": "No people."}]}) == ("", "refused")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_in_a_field_are_no_caption(field: str) -> None:
    assert parse({"content": ANSWER, field: "a cat?"}) == (ANSWER, "ok")
    for content in (None, "", []):
        with pytest.raises(NoResponse, match="only thoughts and no answer: it ended with 'length'"):
            parse({"content": content, field: "a cat?"}, "length")
    with pytest.raises(NoResponse, match="only thoughts and no answer: switch"):
        parse({"content": None, field: "a cat?"})


def test_a_tool_call_is_no_caption() -> None:
    with pytest.raises(NoResponse, match="calls a tool"):
        parse({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls")


def stream(*chunks: Any, end: str = "data: [DONE]\n\n") -> bytes:
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return (": keep-alive\n\n" + "".join(events) + end).encode()


def test_a_stream_is_joined_although_none_was_requested() -> None:
    def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
        return {"model": "toy", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    chunks = [chunk(role="assistant"), chunk(reasoning_content="a cat?"), chunk(content="A brown ")]
    data = stream(*chunks, chunk(content="dog runs."), chunk("stop"), usage)
    with ChatServer(in_turn(Reply(data), Reply(data.replace(b"\n", b"\r\n")))) as server:
        for response in complete_all(server.url, REQUEST, REQUEST):
            assert (response.text, response.status, response.revision) == (ANSWER, "ok", "toy")
            assert (response.prompt_tokens, response.output_tokens) == (9, 4)
    cut_off = parse_completion(stream(*chunks, end=""), 1.0)
    assert (cut_off.text, cut_off.status) == ("A brown", "truncated")
    with pytest.raises(BadBody, match="is an error"):
        parse_completion(stream(*chunks, {"error": {"message": "out of memory"}}), 1.0)
    with pytest.raises(BadBody, match="not JSON"):
        parse_completion(b"data: {oops\n\n", 1.0)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "the picture 7 is broken", "code": "bad_picture"}},
        {"error": "the picture 7 is broken"},
        {"object": "error", "message": "the picture 7 is broken", "code": 500},
        {"detail": "the picture 7 is broken"},
        {"detail": [{"loc": ["body"], "msg": "the picture 7 is broken"}]},
        {"error": {"code": 502, "message": "the picture 7 is broken"}, "choices": []},
        {
            "choices": [
                {"error": {"code": 502, "message": "the picture 7 is broken"}, "finish_reason": "error"}
            ]
        },
        {"error": {"code": 400, "message": "the picture 7 is broken"}},
    ],
)
def test_an_error_with_status_200_keeps_its_words(body: dict[str, Any]) -> None:
    with ChatServer(in_turn(Reply(json.dumps(body).encode()))) as server:
        [error] = complete_all(server.url, REQUEST)
    assert type(error) is NoResponse
    assert "the picture 7 is broken" in str(error)


def test_an_error_with_status_200_counts_as_its_code() -> None:
    def reply(code: Any, words: str = "oops") -> Reply:
        return Reply(json.dumps({"error": {"code": code, "message": words}}).encode())

    cases = [(reply(401), Unavailable), (reply("429"), Unavailable), (reply(400), NoResponse)]
    for bad, kind in cases:
        with ChatServer(lambda _, bad=bad: bad) as server:
            [error] = complete_all(server.url, REQUEST)
            assert type(error) is kind
            assert "oops" in str(error)
    with ChatServer(in_turn(reply("content_filter", "flagged"))) as server:
        [response] = complete_all(server.url, REQUEST)
        assert response.status == "refused"
    with ChatServer(in_turn(reply(500), completion(ANSWER))) as server:
        [response] = complete_all(server.url, REQUEST)
        assert response.text == ANSWER


def test_a_page_in_place_of_json_is_named() -> None:
    page = Reply(b"<!DOCTYPE html><html><head><title>Please\n log in</title></head></html>")
    with ChatServer(in_turn(page)) as server:
        [error] = complete_all(server.url, REQUEST)
    assert 'an HTML page with the title "Please log in"' in str(error)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_no_error_contains_the_key_or_the_address(status: int) -> None:
    with ChatServer(lambda _: Reply()) as server:
        address = f"{server.url}/chat/completions?token=hidden-9"
        words = f"no route to {address} at 127.0.0.1 with {KEY} or {KEY.upper()}"
        body = json.dumps({"error": {"message": words}}).encode()
        server._reply = in_turn(Reply(body, status=status))
        [error] = complete_all(f"{server.url}?token=hidden-9", REQUEST, key=KEY)
    assert "no route to" in str(error)
    for secret in (server.url, str(server.port), "127.0.0.1", "hidden-9", KEY, KEY.upper()):
        assert secret not in str(error)


@pytest.mark.parametrize(
    "body", [None, [], "error", {}, {"choices": []}, {"message": {"content": "x"}}, {"error": None}]
)
def test_other_values_are_no_error(body: Any) -> None:
    assert find_error(body) is None
