"""An endpoint that speaks OpenAI's chat completions (vLLM, SGLang, hosted ones), asked with patience.

What fails is tried again with exponential back-off and jitter. When tries run out, a question without
pictures tells whose fault it is: if that is answered, the question's; if not, the endpoint is away, and
everybody who asks is put back. Its URL and key are in no message.
"""

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from pipeline import Unavailable
from stages.captions.chat import Question, Said, Unanswered, said, tidy

_FIRST_S, _LONGEST_S = 0.5, 30.0  # between tries
_RETRY_S = 30.0  # until an endpoint that is away is asked again
_CONNECT_S = 15.0
_LARGEST = 8 * 2**20  # bytes of an answer
_PROBE = Question("Say yes.")
_PROBE_S = 60.0
_FILTERED = ("content_filter", "content_policy", "moderation", "safety")
_CONFIGURED = {401: "it refuses the key", 403: "it refuses access", 404: "it knows no such model or path"}


class Endpoint:
    """One endpoint and model, for as long as one batch is asked about; to be entered with `async with`.

    Args:
        url: without "/chat/completions"; a query may follow.
        key: sent as a bearer token, unless it is empty.
        options: of the request beside model and messages: "max_tokens", "temperature" …; None leaves one out.
        timeout_s: of one try, from asking to the last byte.
        tries: of one question.
        patience_s: of a run that has nothing else to do, with an endpoint that is away.
        jitter: gives numbers from 0 to 1, by which waits are shortened down to their half.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        timeout_s: float = 180.0,
        tries: int = 5,
        patience_s: float = 600.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/") + "/chat/completions"
        self._url, self._model, self._key = parts._replace(path=path).geturl(), model, key
        self._options = dict(options or {})
        self._timeout_s, self._tries, self._patience_s = timeout_s, tries, patience_s
        self._jitter = jitter
        self._open_at = 0.0  # nobody asks before, as the endpoint wishes
        self._away: Unavailable | None = None
        self._probing = asyncio.Lock()

    async def __aenter__(self) -> "Endpoint":
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        waits = httpx2.Timeout(None, connect=_CONNECT_S)
        self._client = httpx2.AsyncClient(headers=headers, timeout=waits, limits=limits)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ask(self, question: Question) -> Said:
        """See `Asked.ask`."""
        body = self._body(question)
        trouble = _Trouble("it was not tried")
        for number in range(self._tries):
            await self._wait()
            try:
                return await self._try(body, self._timeout_s)
            except _Trouble as told:
                trouble = told
            if trouble.settled or number + 1 == self._tries:
                break
            await asyncio.sleep(self._pause_s(number))
        async with self._probing:
            self.check()
            if not trouble.limited and await self._answers():
                raise Unanswered(f"{'' if trouble.settled else f'after {self._tries} tries: '}{trouble}")
            raise self._goes(str(trouble))

    def check(self) -> None:
        """See `Asked.check`."""
        if self._away:
            raise self._away

    async def _wait(self) -> None:
        """Until the endpoint may be asked again."""
        self.check()
        while (left_s := self._open_at - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
            self.check()

    def _pause_s(self, number: int) -> float:
        return float(min(_LONGEST_S, _FIRST_S * 2**number) * (1 - self._jitter() / 2))

    def _goes(self, why: str, retry_s: float = 0.0) -> Unavailable:
        """From now on nobody is answered."""
        self._away = Unavailable(
            f"the endpoint of {self._model} does not answer: {why}",
            retry_s=retry_s or _RETRY_S,
            patience_s=self._patience_s,
        )
        return self._away

    async def _answers(self) -> bool:
        """Whether anything is answered at all."""
        try:
            await self._try(self._body(_PROBE), min(self._timeout_s, _PROBE_S))
        except _Trouble:
            return False
        except Unanswered:
            return True
        return True

    def _body(self, question: Question) -> dict[str, Any]:
        asked = {"model": self._model, "messages": messages(question), **self._options}
        return {name: value for name, value in asked.items() if value is not None}

    async def _try(self, body: Mapping[str, Any], timeout_s: float) -> Said:
        """One try.

        Raises:
            _Trouble: it failed, and it is not known yet whose fault that is.
            Unanswered, Unavailable: it failed, and that is known.
        """
        import httpx2

        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                status, headers, data = await self._post(body)
        except TimeoutError:
            raise _Trouble(f"no answer within {timeout_s:g} s") from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _Trouble(f"the connection failed ({type(error).__name__})") from None
        if status == 200:
            return answer_of(data, time.monotonic() - began)
        told = self._cleaned(data)
        if status in (429, 503) and "retry-after" in headers:
            self._hold_off(headers["retry-after"], status)
        if status in _CONFIGURED:
            raise _Trouble(f"{_CONFIGURED[status]} (HTTP {status})", settled=True)
        if status in (400, 413, 415, 422):
            if any(word in told.lower() for word in _FILTERED):
                return said("", "content_filter", seconds=time.monotonic() - began)
            raise Unanswered(f"the endpoint refuses the question (HTTP {status}): {told}")
        raise _Trouble(f"HTTP {status}", limited=status in (429, 503))

    async def _post(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", self._url, json=body) as response:
            data = bytearray()
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > _LARGEST:
                    raise _Trouble(f"its answer has more than {_LARGEST} bytes")
            return response.status_code, response.headers, bytes(data)

    def _hold_off(self, wish: str, status: int) -> None:
        """Keep everybody from asking for as long as the endpoint wishes; put them back if that is long."""
        wait_s = seconds_wished(wish, datetime.now(UTC))
        if wait_s > _LONGEST_S:
            raise self._goes(f"it asks to wait {wait_s:.0f} s (HTTP {status})", wait_s)
        self._open_at = max(self._open_at, time.monotonic() + wait_s)

    def _cleaned(self, data: bytes) -> str:
        """The beginning of an error in words, without the key and the address."""
        text = " ".join(data[:4096].decode("utf-8", "replace").split())
        for secret in (self._key, self._url, self._url.partition("://")[2].partition("/")[0]):
            text = text.replace(secret, "***") if secret else text
        return text[:200]


class _Trouble(Exception):
    """A try that failed in a way that the next may not.

    Attributes:
        limited: there were too many questions, which is no question's fault.
        settled: trying again is of no use, but others may be answered.
    """

    def __init__(self, what: str, *, limited: bool = False, settled: bool = False) -> None:
        super().__init__(what)
        self.limited, self.settled = limited, settled


def messages(question: Question) -> list[dict[str, Any]]:
    """The talk as chat messages; pictures are data URLs in the first."""
    pictures: list[dict[str, Any]] = [
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"},
        }
        for data in question.pictures
    ]
    made: list[dict[str, Any]] = []
    for prompt, answer in (*question.earlier, (question.prompt, "")):
        words = {"type": "text", "text": prompt}
        content: Any = [*pictures, words] if pictures and not made else prompt
        made.append({"role": "user", "content": content})
        made += [{"role": "assistant", "content": answer}] if answer else []
    return made


def answer_of(data: bytes, seconds: float) -> Said:
    """What the body of a good response says.

    Raises:
        _Trouble: it is no chat completion.
        Unanswered: the model said nothing.
    """
    try:
        found = json.loads(data)
        choice = found["choices"][0]
        message = choice["message"]
        text, refusal = _text(message.get("content")), _text(message.get("refusal"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _Trouble("its answer is no chat completion") from None
    usage = found.get("usage")
    known = usage if isinstance(usage, dict) else {}
    return said(
        text,
        str(choice.get("finish_reason")),
        refusal,
        revision=_revision(found),
        prompt_tokens=_count(known.get("prompt_tokens")),
        output_tokens=_count(known.get("completion_tokens")),
        seconds=seconds,
    )


def _text(content: Any) -> str:
    """Of a string, of parts of text, or of nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part["text"] for part in content if part["type"] == "text"]
    if not all(isinstance(part, str) for part in parts):
        raise TypeError
    return "".join(parts)


def _revision(found: Mapping[str, Any]) -> str:
    """Model and fingerprint, as the endpoint gives them."""
    names = (found.get("model"), found.get("system_fingerprint"))
    return " ".join(tidy(name)[:200] for name in names if isinstance(name, str) and name)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def seconds_wished(wish: str, now: datetime) -> float:
    """The seconds that a Retry-After header asks for, as a number or as a date; 1 where it is neither."""
    try:
        return max(0.0, float(wish)) if float(wish) < 1e9 else 1.0
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(wish) - now).total_seconds())
    except (ValueError, TypeError):
        return 1.0
