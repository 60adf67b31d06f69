"""Requests to a `ChatServer` through `Endpoint`, and replies in a given order."""

import asyncio
from collections.abc import Callable
from typing import Any

from chat_server import Reply, Request, completion

from stages.models.chat.chat_model import ChatRequest
from stages.models.chat.endpoint import Endpoint


def complete_all(url: str, *requests: ChatRequest, key: str = "", **settings: Any) -> list[Any]:
    """Send all requests concurrently; return the response or the error of each."""

    async def run() -> list[Any]:
        async with Endpoint(url, "toy", key, **{"max_attempts": 3, "timeout_s": 5.0, **settings}) as endpoint:
            return await asyncio.gather(*map(endpoint.complete, requests), return_exceptions=True)

    return asyncio.run(run())


def is_probe(request: Request) -> bool:
    """Return whether this is the request that probes the endpoint."""
    return request.prompt == "Say yes."


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """Reply with these in order, then always with the last one. A probe succeeds."""
    remaining = list(replies)

    def reply(request: Request) -> Reply:
        if is_probe(request):
            return completion("Yes.")
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return reply
