"""Several endpoints share the requests, and those of an endpoint that is down go to the others."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from chat_client import is_probe
from chat_server import ChatServer, Reply, closed_port, completion

from manifests import ClipmillError
from pipeline import Unavailable
from stages.captions.caption_clip import CaptionClip
from stages.models.chat.chat_model import ChatRequest
from stages.models.chat.endpoint import Endpoint
from stages.models.chat.endpoints import Endpoints, Outages

REQUEST = ChatRequest("What is it?", (b"\xff\xd8jpeg",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.chat.endpoint._MIN_BACKOFF_S", 0.01)


def complete_all(urls: Sequence[str], count: int, outages: Outages) -> list[Any]:
    """Send one batch of requests at the same time; return the response or the error of each."""

    async def run() -> list[Any]:
        endpoints = [Endpoint(url, "toy", max_attempts=2, timeout_s=5.0) for url in urls]
        async with Endpoints(endpoints, outages) as model:
            return await asyncio.gather(
                *(model.complete(REQUEST) for _ in range(count)), return_exceptions=True
            )

    return asyncio.run(run())


def dog(_: object) -> Reply:
    return completion("a dog")


def test_endpoints_share_the_requests() -> None:
    with ChatServer(dog) as one, ChatServer(dog) as two, ChatServer(dog) as three:
        responses = complete_all([one.url, two.url, three.url], 12, {})
        assert [response.text for response in responses] == ["a dog"] * 12
        assert [len(server.requests) for server in (one, two, three)] == [4, 4, 4]


def test_a_slow_endpoint_gets_fewer_requests() -> None:
    async def run(urls: Sequence[str]) -> None:
        async with Endpoints([Endpoint(url, "toy") for url in urls], {}) as model:
            slots = asyncio.Semaphore(4)

            async def send() -> None:
                async with slots:
                    await model.complete(REQUEST)

            await asyncio.gather(*(send() for _ in range(12)))

    with ChatServer(lambda _: completion("a dog", delay_s=2.0)) as slow, ChatServer(dog) as fast:
        asyncio.run(run([slow.url, fast.url]))
        assert len(slow.requests) <= 4
        assert len(slow.requests) + len(fast.requests) == 12


def test_requests_of_an_endpoint_that_is_down_go_to_the_other() -> None:
    outages: Outages = {}
    with ChatServer(lambda _: Reply(b"oops", status=500)) as broken, ChatServer(dog) as good:
        urls = [broken.url, good.url, f"http://127.0.0.1:{closed_port()}/v1"]
        assert [response.text for response in complete_all(urls, 9, outages)] == ["a dog"] * 9
        before = len(broken.requests)
        assert sum(map(is_probe, broken.requests)) == 1
        assert sorted(outages) == [0, 2]
        assert [response.text for response in complete_all(urls, 9, outages)] == ["a dog"] * 9
        assert len(broken.requests) == before  # the next batch does not ask it again


def test_an_endpoint_is_used_again_after_its_pause() -> None:
    with ChatServer(dog) as server:
        outages: Outages = {0: (0.0, Unavailable("it was down"))}
        [response] = complete_all([server.url], 1, outages)
    assert response.text == "a dog"


def test_all_endpoints_down_pause_the_step() -> None:
    urls = [f"http://127.0.0.1:{closed_port()}/v1" for _ in range(2)]
    errors = complete_all(urls, 5, {})
    assert {type(error) for error in errors} == {Unavailable}
    assert str(errors[0]) == "the endpoint of toy does not answer: the connection failed (ConnectError)"


def test_every_url_of_a_list_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URLS", "http://a:8000/v1 http://b:8000/v1")
    assert CaptionClip(model="toy", endpoint="env:URLS")._urls() == ["http://a:8000/v1", "http://b:8000/v1"]
    with pytest.raises(ClipmillError, match="endpoint is not a URL"):
        CaptionClip(model="toy", endpoint="http://a:8000/v1 b:8000/v1").digest()
    with pytest.raises(ClipmillError, match="user name or password"):
        CaptionClip(model="toy", endpoint="http://a:8000/v1 http://me:pw@b/v1").digest()
