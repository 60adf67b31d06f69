"""An endpoint that fails, stalls, sends invalid responses or asks to wait: which error follows?"""

import asyncio
import json
import time
from datetime import UTC, datetime

import pytest
from chat_client import complete_all, in_turn, is_probe
from chat_server import ChatServer, Reply, Request, closed_port, completion

from pipeline import Unavailable
from stages.models.chat.chat_model import ChatRequest, ChatResponse, NoResponse
from stages.models.chat.endpoint import Endpoint, parse_retry_after

REQUEST = ChatRequest("What is it?", (b"\xff\xd8jpeg",))
BROKEN = Reply(b"oops", status=500)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)


@pytest.mark.parametrize(
    "bad",
    [
        BROKEN,
        Reply(status=502),
        Reply(status=503, headers={"Retry-After": "0"}),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=408),
        Reply(status=302, headers={"Location": "http://elsewhere/"}),
        Reply(disconnect=True),
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
def test_a_failed_request_is_sent_again(bad: Reply) -> None:
    with ChatServer(in_turn(bad, bad, completion("a dog"))) as server:
        [response] = complete_all(server.url, REQUEST)
    assert response.text == "a dog"
    assert len(server.requests) == 3


@pytest.mark.parametrize("bad", [BROKEN, Reply(b"no json"), Reply(disconnect=True), Reply(stall_s=9.0)])
def test_a_request_that_always_fails_is_at_fault_if_others_succeed(bad: Reply) -> None:
    with ChatServer(in_turn(bad)) as server:
        [error] = complete_all(server.url, REQUEST, timeout_s=0.3)
    assert type(error) is NoResponse
    assert str(error).startswith("after 3 attempts: ")
    assert is_probe(server.requests[-1])
    assert len(server.requests) == 4


@pytest.mark.parametrize("bad", [BROKEN, Reply(b"no json"), Reply(disconnect=True), Reply(stall_s=9.0)])
def test_an_endpoint_that_answers_no_request_is_unavailable(bad: Reply) -> None:
    with ChatServer(lambda _: bad) as server:
        errors = complete_all(server.url, *[REQUEST] * 5, timeout_s=0.3, patience_s=7.0)
    assert {type(error) for error in errors} == {Unavailable}
    assert errors[0].patience_s == 7.0
    assert len(server.requests) <= 5 * 3 + 1  # all requests share one probe


def test_an_address_without_a_server_is_unavailable() -> None:
    port = closed_port()
    [error] = complete_all(f"http://127.0.0.1:{port}/v1", REQUEST)
    assert type(error) is Unavailable
    assert str(error) == "the endpoint of toy does not answer: the connection failed (ConnectError)"


@pytest.mark.parametrize(("status", "reason"), [(401, "key"), (403, "access"), (404, "no such model")])
def test_a_wrong_key_or_model_makes_the_endpoint_unavailable(status: int, reason: str) -> None:
    with ChatServer(lambda _: Reply(b"key sk-123 is wrong", status=status)) as server:
        [error] = complete_all(server.url, REQUEST, key="sk-123")
    assert type(error) is Unavailable
    assert reason in str(error)
    assert "sk-123" not in str(error)
    assert [is_probe(request) for request in server.requests] == [False, True]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_configuration_error_of_one_request_is_its_own_fault(status: int) -> None:
    with ChatServer(in_turn(Reply(status=status))) as server:
        [error] = complete_all(server.url, REQUEST)
    assert type(error) is NoResponse
    assert f"(HTTP {status})" in str(error)
    assert [is_probe(request) for request in server.requests] == [False, True]


def test_a_rejected_request_is_not_sent_again() -> None:
    body = json.dumps({"error": {"message": "too many pictures for sk-123"}}).encode()
    with ChatServer(lambda _: Reply(body, status=400)) as server:
        [error] = complete_all(server.url, REQUEST, key="sk-123")
        assert server.url not in str(error)
    assert type(error) is NoResponse
    assert "(HTTP 400)" in str(error)
    assert "too many pictures for ***" in str(error)
    assert len(server.requests) == 1


def test_a_content_filter_is_a_refusal() -> None:
    body = json.dumps({"error": {"code": "content_filter"}}).encode()
    with ChatServer(lambda _: Reply(body, status=400)) as server:
        [response] = complete_all(server.url, REQUEST)
    assert (response.text, response.status) == ("", "refused")


def test_a_rate_limit_holds_all_requests() -> None:
    times: list[float] = []

    def reply(request: Request) -> Reply:
        times.append(time.monotonic())
        return Reply(status=429, headers={"Retry-After": "0.4"}) if len(times) == 1 else completion("a dog")

    async def run(url: str) -> list[ChatResponse]:
        async with Endpoint(url, "toy") as endpoint:
            first = asyncio.create_task(endpoint.complete(REQUEST))
            await asyncio.sleep(0.1)
            return [await endpoint.complete(REQUEST), await first]

    with ChatServer(reply) as server:
        assert [response.text for response in asyncio.run(run(server.url))] == ["a dog", "a dog"]
    assert min(times[1:]) - times[0] >= 0.39


def test_a_long_wait_requeues_the_rows_for_that_time() -> None:
    with ChatServer(lambda _: Reply(status=429, headers={"Retry-After": "3600"})) as server:
        errors = complete_all(server.url, REQUEST, REQUEST)
    assert {type(error) for error in errors} == {Unavailable}
    assert errors[0].retry_s == 3600
    assert len(server.requests) <= 2


@pytest.mark.parametrize("status", [429, 503])
def test_an_endless_rate_limit_makes_the_endpoint_unavailable(status: int) -> None:
    with ChatServer(in_turn(Reply(status=status))) as server:
        [error] = complete_all(server.url, REQUEST)
    assert type(error) is Unavailable
    assert not any(map(is_probe, server.requests))


@pytest.mark.parametrize(
    ("value", "seconds"),
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
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float) -> None:
    assert parse_retry_after(value, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds


def test_back_off_grows_and_jitter_shortens_it() -> None:
    no_jitter, full_jitter = (
        Endpoint("http://h", "m", jitter=lambda: 0.0),
        Endpoint("http://h", "m", jitter=lambda: 1.0),
    )
    waits = [no_jitter._backoff_s(number) for number in range(20)]
    assert waits[:3] == [0.01, 0.02, 0.04]
    assert waits[-1] == 30.0
    assert [full_jitter._backoff_s(number) for number in range(3)] == [wait / 2 for wait in waits[:3]]


def test_the_key_is_a_header_and_options_are_fields() -> None:
    with ChatServer(in_turn(completion("a dog"))) as server:
        complete_all(server.url, REQUEST, key="sk-123", options={"seed": 3, "temperature": None})
        complete_all(server.url, REQUEST)
    with_key, without = server.requests
    assert with_key.headers["authorization"] == "Bearer sk-123"
    assert "authorization" not in without.headers
    assert with_key.body["seed"] == 3
    assert "temperature" not in with_key.body
    assert with_key.jpegs == [b"\xff\xd8jpeg"]


def test_a_query_of_the_url_stays_after_the_path() -> None:
    with ChatServer(in_turn(completion("a dog"))) as server:
        complete_all(f"{server.url}/deployments/toy/?api-version=7", REQUEST)
    assert server.requests[0].path == "/v1/deployments/toy/chat/completions?api-version=7"


def test_invalid_fields_of_a_response_are_ignored() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "dog."}]
    body = {
        "model": 7,
        "system_fingerprint": "f\ud800p\x00",
        "usage": {"prompt_tokens": "9", "completion_tokens": True},
        "choices": [{"message": {"content": parts}}],
    }
    with ChatServer(in_turn(Reply(json.dumps(body).encode()))) as server:
        [response] = complete_all(server.url, REQUEST)
    assert response.text == "a dog."
    assert response.status == "ok"
    assert response.revision == "f?p"
    assert response.prompt_tokens is None
    assert response.output_tokens is None
