"""A client for OpenAI-compatible chat completions endpoints (vLLM, SGLang, hosted services), with retries.

A failed request is sent again with exponential back-off and jitter. If all attempts fail, a probe request
without images finds the cause. If the probe succeeds, the request is at fault. If not, the endpoint is
unavailable, and all rows that wait for it are requeued. Error messages never contain the URL or the key.
"""

import asyncio
import base64
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from pipeline import Unavailable
from stages.models.chat.chat_model import ChatRequest, ChatResponse, NoResponse, make_response
from stages.models.chat.completion import BadBody, find_error, parse_completion

_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0  # between attempts
_RETRY_S = 30.0  # until an unavailable endpoint is tried again
_CONNECT_TIMEOUT_S = 15.0
_MAX_RESPONSE_BYTES = 8 * 2**20
_PROBE = ChatRequest("Say yes.")
_PROBE_TIMEOUT_S = 60.0
_FILTER_WORDS = ("content_filter", "content_policy", "moderation", "safety")
_CONFIGURATION_ERRORS = {
    401: "it refuses the key",
    403: "it refuses access",
    404: "it has no such model or path",
}


class Endpoint:
    """A model at an endpoint, for one batch of rows. Use it with `async with`.

    Args:
        url: The URL before "/chat/completions". It may have a query.
        key: Sent as a bearer token, unless it is empty.
        options: Fields of the request besides model and messages, such as "max_tokens" and "temperature". A
            field with the value None is not sent.
        timeout_s: Time limit of one attempt in s, until the last byte of the response.
        max_attempts: Attempts of one request, at most.
        patience_s: Time in s that a run with no other work waits for an unavailable endpoint.
        jitter: Returns a random number from 0 to 1. It shortens each wait, down to half.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        timeout_s: float = 180.0,
        max_attempts: int = 5,
        patience_s: float = 600.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/") + "/chat/completions"
        self._url, self._model, self._key = parts._replace(path=path).geturl(), model, key
        self._options = dict(options or {})
        self._timeout_s, self._max_attempts, self._patience_s = timeout_s, max_attempts, patience_s
        self._jitter = jitter
        self._resume_at = 0.0  # monotonic time in s before which the endpoint wants no request
        self._unavailable: Unavailable | None = None
        self._probe_lock = asyncio.Lock()

    async def __aenter__(self) -> "Endpoint":
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S)
        self._client = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """See `ChatModel.complete`."""
        body = self._body(request)
        failure = _AttemptFailed("no attempt was made")
        for number in range(self._max_attempts):
            await self._wait_until_open()
            try:
                return await self._attempt(body, self._timeout_s)
            except _AttemptFailed as error:
                failure = error
            if failure.is_final or number + 1 == self._max_attempts:
                break
            await asyncio.sleep(self._backoff_s(number))
        async with self._probe_lock:
            self.check_available()
            if not failure.is_rate_limit and await self._probe():
                attempts = "" if failure.is_final else f"after {self._max_attempts} attempts: "
                raise NoResponse(f"{attempts}{failure}")
            raise self._mark_unavailable(str(failure))

    def check_available(self) -> None:
        """See `ChatModel.check_available`."""
        if self._unavailable:
            raise self._unavailable

    async def _wait_until_open(self) -> None:
        """Wait until the endpoint accepts requests again."""
        self.check_available()
        while (wait_s := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
            self.check_available()

    def _backoff_s(self, number: int) -> float:
        return float(min(_MAX_BACKOFF_S, _MIN_BACKOFF_S * 2**number) * (1 - self._jitter() / 2))

    def _mark_unavailable(self, reason: str, retry_s: float = 0.0) -> Unavailable:
        """Fail all further requests, and return the error to raise."""
        self._unavailable = Unavailable(
            f"the endpoint of {self._model} does not answer: {reason}",
            retry_s=retry_s or _RETRY_S,
            patience_s=self._patience_s,
        )
        return self._unavailable

    async def _probe(self) -> bool:
        """Return whether the endpoint answers any request."""
        try:
            await self._attempt(self._body(_PROBE), min(self._timeout_s, _PROBE_TIMEOUT_S))
        except _AttemptFailed:
            return False
        except NoResponse:
            return True
        return True

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        fields = {"model": self._model, "messages": make_messages(request), **self._options}
        return {name: value for name, value in fields.items() if value is not None}

    async def _attempt(self, body: Mapping[str, Any], timeout_s: float) -> ChatResponse:
        """Send a request once.

        Raises:
            _AttemptFailed: it failed, and the cause is not known yet.
            NoResponse, Unavailable: it failed, and the cause is known.
        """
        import httpx2

        start = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                status, headers, data = await self._post(body)
        except TimeoutError:
            raise _AttemptFailed(f"no answer within {timeout_s:g} s") from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _AttemptFailed(f"the connection failed ({type(error).__name__})") from None
        seconds = time.monotonic() - start
        if status != 200:
            if status in (429, 503) and "retry-after" in headers:
                self._hold_requests(headers["retry-after"], status)
            return self._handle_error(status, _error_words(data), seconds)
        try:
            return parse_completion(data, seconds)
        except BadBody as error:
            if not error.message:
                raise _AttemptFailed(self._redact(str(error))) from None
            return self._handle_error(error.status, error.message, seconds)

    def _handle_error(self, status: int, words: str, seconds: float) -> ChatResponse:
        """Return a refusal or raise the exception for an error response.

        Args:
            status: HTTP status, of the response or of the error in it; 0 if it is not known.
            words: What the endpoint says about it.
        """
        code = f" (HTTP {status})" if status else ""
        message = self._redact(words)
        if status in _CONFIGURATION_ERRORS:
            raise _AttemptFailed(f"{_CONFIGURATION_ERRORS[status]}{code}: {message}", is_final=True)
        if status in (0, 400, 413, 415, 422):
            if any(word in words.lower() for word in _FILTER_WORDS):
                return make_response("", "content_filter", seconds=seconds)
            if status:
                raise NoResponse(f"the endpoint rejects the request{code}: {message}")
        raise _AttemptFailed(
            f"the endpoint reports an error{code}: {message}", is_rate_limit=status in (429, 503)
        )

    async def _post(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", self._url, json=body) as response:
            data = bytearray()
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > _MAX_RESPONSE_BYTES:
                    raise _AttemptFailed(f"its response has more than {_MAX_RESPONSE_BYTES} bytes")
            return response.status_code, response.headers, bytes(data)

    def _hold_requests(self, retry_after: str, status: int) -> None:
        """Hold all requests for the time that the endpoint asks for; if it is long, become unavailable."""
        wait_s = parse_retry_after(retry_after, datetime.now(UTC))
        if wait_s > _MAX_BACKOFF_S:
            raise self._mark_unavailable(f"it asks to wait {wait_s:.0f} s (HTTP {status})", wait_s)
        self._resume_at = max(self._resume_at, time.monotonic() + wait_s)

    def _redact(self, text: str) -> str:
        """Return the start of a text as one line, without the key and the address of the endpoint."""
        parts = urlsplit(self._url)
        query = [value for _, _, value in (part.partition("=") for part in parts.query.split("&"))]
        secrets = [self._key, self._url, parts.netloc, parts.hostname or "", *query]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
        return " ".join(text.split())[:200]


class _AttemptFailed(Exception):
    """An attempt failed in a way that the next attempt may not.

    Attributes:
        is_rate_limit: The endpoint has too many requests, so this request is not at fault.
        is_final: Another attempt would fail too, but other requests may succeed.
    """

    def __init__(self, reason: str, *, is_rate_limit: bool = False, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_rate_limit, self.is_final = is_rate_limit, is_final


def _error_words(data: bytes) -> str:
    """Return what the body of an error response says: the message in its JSON, or its text."""
    try:
        error = find_error(json.loads(data))
    except (ValueError, RecursionError):
        error = None
    return error[1] if error else data.decode("utf-8", "replace")


def make_messages(request: ChatRequest) -> list[dict[str, Any]]:
    """Return the conversation as chat messages. The images are data URLs in the first message."""
    images: list[dict[str, Any]] = [
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"},
        }
        for data in request.images
    ]
    messages: list[dict[str, Any]] = []
    for prompt, answer in (*request.earlier, (request.prompt, "")):
        text = {"type": "text", "text": prompt}
        content: Any = [*images, text] if images and not messages else prompt
        messages.append({"role": "user", "content": content})
        messages += [{"role": "assistant", "content": answer}] if answer else []
    return messages


def parse_retry_after(value: str, now: datetime) -> float:
    """Return the wait of a Retry-After header in s, given as a number or a date; 1 if it is neither."""
    try:
        return max(0.0, float(value)) if float(value) < 1e9 else 1.0
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return 1.0
