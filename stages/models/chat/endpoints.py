"""Several endpoints with one model: requests go where the fewest are, and not to endpoints that are down."""

import os
import time
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType

from pipeline import Unavailable
from stages.models.chat.chat_model import ChatRequest, ChatResponse
from stages.models.chat.endpoint import Endpoint

Outages = MutableMapping[int, tuple[float, Unavailable]]  # when to try an endpoint again, and its error


class Endpoints:
    """Endpoints for one batch of rows, as one `ChatModel`. Use it with `async with`.

    A request goes to the endpoint that has the fewest requests of this worker; among equal ones, to the next
    in turn. A request whose endpoint is unavailable goes to another one.

    Args:
        endpoints: At least one.
        outages: Unavailable endpoints by number. A worker keeps it from batch to batch, so that a batch does
            not find out again what the batch before found out.
    """

    def __init__(self, endpoints: Sequence[Endpoint], outages: Outages) -> None:
        self._endpoints, self._outages = endpoints, outages
        self._busy = [0] * len(endpoints)
        self._failed: set[int] = set()  # in this batch
        self._last = os.getpid()  # workers begin at different endpoints
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Endpoints":
        for endpoint in self._endpoints:
            await self._stack.enter_async_context(endpoint)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """See `ChatModel.complete`."""
        while True:
            number = self._next()
            self._busy[number] += 1
            try:
                return await self._endpoints[number].complete(request)
            except Unavailable as error:
                self._failed.add(number)
                # A new exception, because this one holds the request with its images.
                outage = Unavailable(str(error), retry_s=error.retry_s, patience_s=error.patience_s)
                self._outages[number] = (time.monotonic() + error.retry_s, outage)
            finally:
                self._busy[number] -= 1

    def check_available(self) -> None:
        """See `ChatModel.check_available`."""
        if not self._available():
            _, error = min(self._outages.values(), key=lambda outage: outage[0])
            raise Unavailable(str(error), retry_s=error.retry_s, patience_s=error.patience_s)

    def _available(self) -> list[int]:
        now = time.monotonic()
        others = (n for n in range(len(self._endpoints)) if n not in self._failed)
        return [n for n in others if n not in self._outages or self._outages[n][0] <= now]

    def _next(self) -> int:
        """The number of the endpoint for the next request.

        Raises:
            Unavailable: no endpoint is available.
        """
        self.check_available()
        count = len(self._endpoints)
        self._last = min(self._available(), key=lambda n: (self._busy[n], (n - self._last - 1) % count))
        return self._last
