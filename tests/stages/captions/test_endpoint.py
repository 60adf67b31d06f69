"""An endpoint that fails, stalls, talks nonsense or asks for patience: whose fault is it, what is kept?"""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from chat_server import Asked, ChatServer, Reply, closed_port, said

from pipeline import Unavailable
from stages.captions.chat import Question, Said, Unanswered
from stages.captions.endpoint import Endpoint, seconds_wished

LOOK = Question("What is it?", (b"\xff\xd8jpeg",))
BROKEN = Reply(b"oops", status=500)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.captions.endpoint._FIRST_S", 0.01)


def ask(url: str, *questions: Question, key: str = "", **how: Any) -> list[Any]:
    """What is said to each question, asked all at once; or the error."""

    async def run() -> list[Any]:
        async with Endpoint(url, "toy", key, **{"tries": 3, "timeout_s": 5.0, **how}) as endpoint:
            return await asyncio.gather(*map(endpoint.ask, questions), return_exceptions=True)

    return asyncio.run(run())


def probed(asked: Asked) -> bool:
    """Whether it is the question that tells whose fault it is."""
    return asked.prompt == "Say yes."


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    """These replies to one question after the other; the last one for good, but yes to the probe."""
    left = list(replies)

    def reply(asked: Asked) -> Reply:
        if probed(asked):
            return said("Yes.")
        return left.pop(0) if len(left) > 1 else left[0]

    return reply


@pytest.mark.parametrize(
    "bad",
    [
        BROKEN,
        Reply(status=502),
        Reply(status=503, headers={"Retry-After": "0"}),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=408),
        Reply(status=302, headers={"Location": "http://elsewhere/"}),
        Reply(drop=True),
        Reply(b"<html>please log in</html>"),
        Reply(b"\xff\xfe\x00"),
        Reply(b'{"choices": []}'),
        Reply(b'{"choices": [{"message": "hello"}]}'),
        Reply(b'{"choices": {"0": 1}}'),
        Reply(b"[1, 2]"),
        Reply(b"null"),
        Reply(b'{"choices": [{"message": {"content": 7}}]}'),
        Reply(b'{"choices": [{"message": {"content": [{"type": "text", "text": 7}]}}]}'),
        Reply(b"[" * 100_000),
        Reply(b"{}", headers={"Content-Encoding": "gzip"}),
        Reply(b"x" * (8 * 2**20 + 1)),
    ],
)
def test_what_fails_is_tried_again(bad: Reply) -> None:
    with ChatServer(in_turn(bad, bad, said("a dog"))) as server:
        [told] = ask(server.url, LOOK)
    assert told.text == "a dog"
    assert len(server.seen) == 3


@pytest.mark.parametrize("bad", [BROKEN, Reply(b"no json"), Reply(drop=True), Reply(stall_s=9.0)])
def test_a_question_that_breaks_the_endpoint_is_at_fault_where_others_are_answered(bad: Reply) -> None:
    with ChatServer(in_turn(bad)) as server:
        [error] = ask(server.url, LOOK, timeout_s=0.3)
    assert type(error) is Unanswered
    assert str(error).startswith("after 3 tries: ")
    assert probed(server.seen[-1])
    assert len(server.seen) == 4


@pytest.mark.parametrize("bad", [BROKEN, Reply(b"no json"), Reply(drop=True), Reply(stall_s=9.0)])
def test_an_endpoint_that_answers_nobody_is_away(bad: Reply) -> None:
    with ChatServer(lambda _: bad) as server:
        errors = ask(server.url, *[LOOK] * 5, timeout_s=0.3, patience_s=7.0)
    assert {type(error) for error in errors} == {Unavailable}
    assert errors[0].patience_s == 7.0
    assert len(server.seen) <= 5 * 3 + 1  # one probe is enough for all


def test_nobody_at_the_address_is_away_too() -> None:
    port = closed_port()
    [error] = ask(f"http://127.0.0.1:{port}/v1", LOOK)
    assert type(error) is Unavailable
    assert str(error) == "the endpoint of toy does not answer: the connection failed (ConnectError)"


@pytest.mark.parametrize(("status", "why"), [(401, "key"), (403, "access"), (404, "no such model")])
def test_what_is_wrong_for_all_is_no_rows_fault(status: int, why: str) -> None:
    with ChatServer(lambda _: Reply(b"key sk-123 is wrong", status=status)) as server:
        [error] = ask(server.url, LOOK, key="sk-123")
    assert type(error) is Unavailable
    assert why in str(error)
    assert "sk-123" not in str(error)
    assert [probed(asked) for asked in server.seen] == [False, True]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_wrong_for_one_alone_is_its_own_fault(status: int) -> None:
    with ChatServer(in_turn(Reply(status=status))) as server:
        [error] = ask(server.url, LOOK)
    assert type(error) is Unanswered
    assert f"(HTTP {status})" in str(error)
    assert [probed(asked) for asked in server.seen] == [False, True]


def test_what_is_refused_as_such_is_not_asked_again() -> None:
    body = json.dumps({"error": {"message": "too many pictures for sk-123"}}).encode()
    with ChatServer(lambda _: Reply(body, status=400)) as server:
        [error] = ask(server.url, LOOK, key="sk-123")
        assert server.url not in str(error)
    assert type(error) is Unanswered
    assert "(HTTP 400)" in str(error)
    assert "too many pictures for ***" in str(error)
    assert len(server.seen) == 1


def test_a_filter_that_refuses_is_a_refusal() -> None:
    body = json.dumps({"error": {"code": "content_filter"}}).encode()
    with ChatServer(lambda _: Reply(body, status=400)) as server:
        [told] = ask(server.url, LOOK)
    assert (told.text, told.status) == ("", "refused")


def test_a_rate_limit_holds_everybody_off() -> None:
    times: list[float] = []

    def reply(asked: Asked) -> Reply:
        times.append(time.monotonic())
        return Reply(status=429, headers={"Retry-After": "0.4"}) if len(times) == 1 else said("a dog")

    async def run(url: str) -> list[Said]:
        async with Endpoint(url, "toy") as endpoint:
            first = asyncio.create_task(endpoint.ask(LOOK))
            await asyncio.sleep(0.1)
            return [await endpoint.ask(LOOK), await first]

    with ChatServer(reply) as server:
        assert [told.text for told in asyncio.run(run(server.url))] == ["a dog", "a dog"]
    assert min(times[1:]) - times[0] >= 0.39


def test_a_long_wait_puts_the_rows_back_for_as_long() -> None:
    with ChatServer(lambda _: Reply(status=429, headers={"Retry-After": "3600"})) as server:
        errors = ask(server.url, LOOK, LOOK)
    assert {type(error) for error in errors} == {Unavailable}
    assert errors[0].retry_s == 3600
    assert len(server.seen) <= 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_without_end_is_nobodys_fault(status: int) -> None:
    with ChatServer(in_turn(Reply(status=status))) as server:
        [error] = ask(server.url, LOOK)
    assert type(error) is Unavailable
    assert not any(map(probed, server.seen))


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", 1.0),
        ("nan", 1.0),
        ("1e99", 1.0),
    ],
)
def test_retry_after_is_read_as_it_may_be_written(wish: str, seconds: float) -> None:
    assert seconds_wished(wish, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds


def test_waits_grow_and_are_shortened_by_chance() -> None:
    calm, hasty = Endpoint("http://h", "m", jitter=lambda: 0.0), Endpoint("http://h", "m", jitter=lambda: 1.0)
    waits = [calm._pause_s(number) for number in range(20)]
    assert waits[:3] == [0.01, 0.02, 0.04]
    assert waits[-1] == 30.0
    assert [hasty._pause_s(number) for number in range(3)] == [wait / 2 for wait in waits[:3]]


def test_the_key_is_a_header_and_options_are_sent() -> None:
    with ChatServer(in_turn(said("a dog"))) as server:
        ask(server.url, LOOK, key="sk-123", options={"seed": 3, "temperature": None})
        ask(server.url, LOOK)
    with_key, without = server.seen
    assert with_key.headers["authorization"] == "Bearer sk-123"
    assert "authorization" not in without.headers
    assert with_key.body["seed"] == 3
    assert "temperature" not in with_key.body
    assert with_key.jpegs == [b"\xff\xd8jpeg"]


def test_a_query_of_the_address_stays_behind_the_path() -> None:
    with ChatServer(in_turn(said("a dog"))) as server:
        ask(f"{server.url}/deployments/toy/?api-version=7", LOOK)
    assert server.seen[0].path == "/v1/deployments/toy/chat/completions?api-version=7"


def test_what_an_endpoint_says_of_itself_is_read_with_care() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "dog"}]
    strange = {
        "model": 7,
        "system_fingerprint": "f\ud800p\x00",
        "usage": {"prompt_tokens": "9", "completion_tokens": True},
        "choices": [{"message": {"content": parts}}],
    }
    with ChatServer(in_turn(Reply(json.dumps(strange).encode()))) as server:
        [told] = ask(server.url, LOOK)
    assert told.text == "a dog"
    assert told.status == "ok"
    assert told.revision == "f?p"
    assert told.prompt_tokens is None
    assert told.output_tokens is None
