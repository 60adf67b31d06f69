"""Stages that ask a model: where it is, how it is asked, and what becomes of rows without an answer."""

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

from manifests import ClipmillError, Row
from pipeline import Annotate, Unavailable
from stages.captions.chat import REFUSED, Asked, Question, Said
from stages.captions.endpoint import Endpoint
from stages.captions.local import Local

if TYPE_CHECKING:
    from stages.models.image_text import ImageText

In = TypeVar("In", bound=Row)
Out = TypeVar("Out", bound=Row)
T = TypeVar("T")


class Asks(Annotate[In, Out], Generic[In, Out]):
    """Asks `model`: at an `endpoint`, or in this process where none is given.

    An endpoint is what vLLM, SGLang and hosted ones give: the URL before "/chat/completions", such as
    http://host:8000/v1; or env:NAME, the environment variable of the workers that holds it, which a record
    may show. Its key stands in the one that `key_env` names.
    """

    hidden = frozenset({"endpoint"})
    place = frozenset({"endpoint", "key_env", "at_once", "timeout_s", "tries", "patience_s"})

    model: str  # as the endpoint calls it; or a folder, or OWNER/NAME on the hub
    revision: str = ""  # branch or commit of a name on the hub
    endpoint: str = ""
    key_env: str = "CLIPMILL_ENDPOINT_KEY"
    max_tokens: int = 512  # of an answer
    options: str = ""  # more of the request to an endpoint, as JSON: {"temperature": 0.2, "seed": 1}
    at_once: int = 16  # questions that a worker has in flight
    timeout_s: float = 180.0  # of one try
    tries: int = 5  # of one question, with exponential back-off
    patience_s: float = 600.0  # that a run with nothing else to do waits for an endpoint that is away

    @cached_property
    def loaded(self) -> "ImageText | None":
        from stages.models.image_text import ImageText

        return None if self.endpoint else ImageText(self.model, self.revision)

    def digest(self) -> str:
        """Of the weights, where they are files of this machine.

        Raises:
            ClipmillError: the endpoint or the options cannot be meant so.
        """
        from stages.models.image_text import image_text_digest

        self._check()
        return "" if self.endpoint else image_text_digest(self.model)

    @property
    def named(self) -> str:
        """The model as tables name it: of a folder of this machine, its last part."""
        here = not self.endpoint and Path(self.model).is_dir()
        return Path(self.model).resolve().name if here else self.model

    @abstractmethod
    async def answer(self, row: In, desk: "Desk") -> Out:
        """The columns of one row.

        Raises:
            Unanswered, Reject, Unavailable: as they say.
        """

    def annotate(self, rows: Sequence[In]) -> Iterator[Out | Exception]:
        yield from asyncio.run(self._all(rows))

    async def _all(self, rows: Sequence[In]) -> list[Out | Exception]:
        async with self._asked() as asked:
            desk = Desk(asked, self.at_once)
            return [*await asyncio.gather(*(self._one(row, desk) for row in rows))]

    async def _one(self, row: In, desk: "Desk") -> Out | Exception:
        try:
            return await self.answer(row, desk)
        except ClipmillError:
            raise
        except Exception as error:
            return error

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[Asked]:
        if self.loaded is not None:
            yield Local(self.loaded, self.max_tokens)
            return
        async with Endpoint(
            self._url(),
            self.model,
            os.environ.get(self.key_env, "") if self.key_env else "",
            options={"max_tokens": self.max_tokens, "temperature": 0, **self._options()},
            timeout_s=self.timeout_s,
            tries=self.tries,
            patience_s=self.patience_s,
        ) as endpoint:
            yield endpoint

    def _options(self) -> dict[str, Any]:
        found = json.loads(self.options or "{}")
        if not isinstance(found, dict):
            raise ValueError("not a table")
        return found

    def _url(self) -> str:
        """
        Raises:
            ClipmillError: the variable that shall hold it is not set, or holds no URL.
        """
        name = self.endpoint.removeprefix("env:")
        if name == self.endpoint:
            return name
        url = os.environ.get(name, "")
        if urlsplit(url).scheme not in ("http", "https"):
            raise ClipmillError(
                f"the environment variable {name} holds no URL of an endpoint",
                remedy=f"on each machine with workers: export {name}=http://host:8000/v1",
            )
        return url

    def _check(self) -> None:
        if self.endpoint == "***":
            raise ClipmillError(
                "the endpoint stands in no record", remedy="give it again, or write env:NAME of a variable"
            )
        parts = urlsplit("" if self.endpoint.startswith("env:") else self.endpoint)
        if parts.geturl() and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ClipmillError("the endpoint is no URL", remedy="write it as http://host:8000/v1")
        if parts.username or parts.password:
            raise ClipmillError(
                "the endpoint's URL holds a key, which would be recorded",
                remedy=f"put the key into the environment variable {self.key_env or 'that key_env names'}",
            )
        if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", self.key_env):
            raise ClipmillError("key_env is the name of an environment variable, and not a key")
        if min(self.at_once, self.tries, self.max_tokens) < 1 or self.timeout_s <= 0:
            raise ClipmillError("at_once, tries, max_tokens and timeout_s are more than nothing")
        try:
            self._options()
        except ValueError as error:
            raise ClipmillError(
                f"the options are no JSON object: {error}", remedy='write them as {"seed": 1}'
            ) from error


class Desk:
    """Where all rows of a batch come to ask, so many at a time."""

    def __init__(self, asked: Asked, at_once: int) -> None:
        self._asked, self._places = asked, asyncio.Semaphore(at_once)

    async def talk(self, begin: Callable[[], tuple[Sequence[str], Sequence[bytes]]]) -> list[Said]:
        """What is said to each prompt of one talk, in turn; after a refusal, no more is asked.

        Args:
            begin: makes the prompts and the JPEGs that the talk is about, when its turn has come.
        """
        async with self._places:
            self._asked.check()
            prompts, pictures = await asyncio.to_thread(begin)
            told: list[Said] = []
            for prompt in prompts:
                earlier = tuple((p, s.text) for p, s in zip(prompts, told, strict=False))
                told.append(await self._asked.ask(Question(prompt, tuple(pictures), earlier)))
                if told[-1].status == REFUSED:
                    break
            return told


async def all_of(talks: Iterable[Awaitable[T]]) -> list[T]:
    """What all talks about one row gave, in order, once each has come to its end.

    Raises:
        Exception: the one that decides about the row; to be put back goes before being set aside.
    """
    found = await asyncio.gather(*talks, return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors:
        raise next((error for error in errors if isinstance(error, Unavailable)), errors[0])
    return [one for one in found if not isinstance(one, BaseException)]


def total(counts: Iterable[int | None]) -> int | None:
    """The sum, where all are known."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
