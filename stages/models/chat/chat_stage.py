"""Stages that call a chat model: settings of the model, concurrent requests, and errors of rows."""

import asyncio
import json
import os
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from manifests import ClipmillError, NonNegativeFloat, PositiveFloat, PositiveInt, Row
from pipeline import Annotate, Unavailable
from stages.models.chat.chat_model import REFUSED, ChatModel, ChatRequest, ChatResponse
from stages.models.chat.endpoint import Endpoint
from stages.models.chat.endpoints import Endpoints, Outages
from stages.models.chat.local import LocalModel

if TYPE_CHECKING:
    from stages.models.image_text import ImageTextModel

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)
T = TypeVar("T")


class ChatModelStage(Annotate[In, Out], Generic[In, Out]):
    """A stage that calls `model`: at an OpenAI-compatible `endpoint`, or in this process without one.

    Attributes:
        model: Name of the model at the endpoint; without an endpoint, a folder or OWNER/NAME on the hub.
        revision: Branch or commit of a name on the hub.
        endpoint: URL before "/chat/completions", such as http://host:8000/v1, of vLLM, SGLang or a hosted
            service; or several URLs with one model, separated by blanks, which share the requests. Or
            env:NAME, the environment variable of the workers that holds the URLs; records of runs show this
            form, but never a URL.
        api_key_env: Environment variable of the workers that holds the API key; empty: no key.
        max_tokens: Tokens of an answer, at most. Higher values allow longer answers and cost more.
        extra_body: More fields of the request to an endpoint, as a JSON object, such as
            {"temperature": 0.2, "seed": 1}. The value null removes a field.
        max_concurrent_requests: Conversations that a worker has in progress at the same time, at most, at all
            endpoints together. Higher values are faster as long as the endpoints can answer.
        timeout_s: Time limit of one attempt, in s.
        max_attempts: Attempts of one request, at most, with exponential back-off between them. Higher values
            bridge longer failures.
        patience_s: Time in s that a run with no other work waits for an unavailable endpoint.
    """

    secret_settings = frozenset({"endpoint"})
    execution_settings = frozenset(
        {"endpoint", "api_key_env", "max_concurrent_requests", "timeout_s", "max_attempts", "patience_s"}
    )

    model: str
    revision: str = ""
    endpoint: str = ""
    api_key_env: str = "CLIPMILL_ENDPOINT_KEY"
    max_tokens: PositiveInt = 512
    extra_body: str = ""
    max_concurrent_requests: PositiveInt = 16
    timeout_s: PositiveFloat = 180.0
    max_attempts: PositiveInt = 5
    patience_s: NonNegativeFloat = 600.0

    @cached_property
    def loaded_model(self) -> "ImageTextModel | None":
        from stages.models.image_text import ImageTextModel

        return None if self.endpoint else ImageTextModel(self.model, self.revision)

    @cached_property
    def outages(self) -> Outages:
        """See `Endpoints`."""
        return {}

    def digest(self) -> str:
        """Return the digest of the weights if they are files of this machine, else "".

        Raises:
            ClipmillError: a setting is not valid.
        """
        from stages.models.image_text import image_text_digest

        self._check_settings()
        return "" if self.endpoint else image_text_digest(self.model)

    @property
    def model_name(self) -> str:
        """The model's name in tables; for a folder of this machine, its last part."""
        is_folder = not self.endpoint and Path(self.model).is_dir()
        return Path(self.model).resolve().name if is_folder else self.model

    @abstractmethod
    async def annotate_row(self, row: In, session: "ChatSession") -> Out:
        """Return the columns of one row.

        Raises:
            NoResponse, Reject, Unavailable: see there.
        """

    def annotate(self, rows: Sequence[In]) -> Iterator[Out | Exception]:
        yield from asyncio.run(self._annotate_all(rows))

    async def _annotate_all(self, rows: Sequence[In]) -> list[Out | Exception]:
        async with self._connect() as model:
            session = ChatSession(model, self.max_concurrent_requests)
            return [*await asyncio.gather(*(self._annotate_one(row, session) for row in rows))]

    async def _annotate_one(self, row: In, session: "ChatSession") -> Out | Exception:
        try:
            return await self.annotate_row(row, session)
        except ClipmillError:
            raise
        except Exception as error:
            return error

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[ChatModel]:
        if self.loaded_model is not None:
            yield LocalModel(self.loaded_model, self.max_tokens)
            return
        endpoints = [
            Endpoint(
                url,
                self.model,
                os.environ.get(self.api_key_env, "") if self.api_key_env else "",
                options={"max_tokens": self.max_tokens, "temperature": 0, **self._extra_body()},
                timeout_s=self.timeout_s,
                max_attempts=self.max_attempts,
                patience_s=self.patience_s,
            )
            for url in self._urls()
        ]
        outages = self.outages if len(endpoints) > 1 else {}  # the engine pauses for a single endpoint
        async with Endpoints(endpoints, outages) as model:
            yield model

    def _extra_body(self) -> dict[str, Any]:
        fields = json.loads(self.extra_body or "{}")
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
        return fields

    def _urls(self) -> list[str]:
        """Return the URLs of the endpoints.

        Raises:
            ClipmillError: the environment variable for the URLs is not set, or holds no URL.
        """
        name = self.endpoint.removeprefix("env:")
        if name == self.endpoint:
            return name.split()
        urls = os.environ.get(name, "").split()
        if not urls or any(urlsplit(url).scheme not in ("http", "https") for url in urls):
            raise ClipmillError(
                f"the environment variable {name} holds no URL of an endpoint",
                remedy=f"on each machine with workers: export {name}=http://host:8000/v1",
            )
        return urls

    def _check_settings(self) -> None:
        if self.endpoint == "***":
            raise ClipmillError(
                "the record of a run does not contain the endpoint",
                remedy="set endpoint again, or use env:NAME with an environment variable",
            )
        for url in [] if self.endpoint.startswith("env:") else self.endpoint.split():
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ClipmillError("endpoint is not a URL", remedy="write it as http://host:8000/v1")
            if parts.username or parts.password:
                raise ClipmillError(
                    "the URL of endpoint contains a user name or password, which would be recorded",
                    remedy=f"put the key into the variable {self.api_key_env or 'of api_key_env'}",
                )
        if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", self.api_key_env):
            raise ClipmillError(
                "api_key_env is not the name of an environment variable",
                remedy="name the variable that holds the key, not the key",
            )
        counts = (self.max_concurrent_requests, self.max_attempts, self.max_tokens)
        if min(counts) < 1 or self.timeout_s <= 0:
            raise ClipmillError(
                "max_concurrent_requests, max_attempts, max_tokens and timeout_s must be greater than 0"
            )
        try:
            self._extra_body()
        except ValueError as error:
            raise ClipmillError(
                f"extra_body is not a JSON object: {error}", remedy='write it as {"seed": 1}'
            ) from error


class ChatSession:
    """Runs the conversations of all rows of a batch, a limited number at the same time."""

    def __init__(self, model: ChatModel, max_concurrent_requests: int) -> None:
        self._model, self._slots = model, asyncio.Semaphore(max_concurrent_requests)

    async def converse(
        self, prepare: Callable[[], tuple[Sequence[str], Sequence[bytes]]]
    ) -> list[ChatResponse]:
        """Send the prompts of one conversation in order and return the responses. Stop after a refusal.

        Args:
            prepare: Makes the prompts and the JPEGs of the conversation. It is called when a slot is free.
        """
        async with self._slots:
            self._model.check_available()
            prompts, images = await asyncio.to_thread(prepare)
            responses: list[ChatResponse] = []
            for prompt in prompts:
                earlier = tuple((p, response.text) for p, response in zip(prompts, responses, strict=False))
                responses.append(await self._model.complete(ChatRequest(prompt, tuple(images), earlier)))
                if responses[-1].status == REFUSED:
                    break
            return responses

    async def ask(self, prepare: Callable[[], ChatRequest]) -> ChatResponse:
        """Send one request and return its response.

        Args:
            prepare: Makes the request. It is called when a slot is free.
        """
        async with self._slots:
            self._model.check_available()
            return await self._model.complete(await asyncio.to_thread(prepare))


async def gather_all(conversations: Iterable[Awaitable[T]]) -> list[T]:
    """Wait until all conversations about one row end, and return their results in order.

    Raises:
        Exception: the error that decides about the row. `Unavailable`, which requeues it, has priority.
    """
    results = await asyncio.gather(*conversations, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise next((error for error in errors if isinstance(error, Unavailable)), errors[0])
    return [result for result in results if not isinstance(result, BaseException)]


def sum_if_known(counts: Iterable[int | None]) -> int | None:
    """Return the sum, or None if any count is unknown."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
