"""The contract of a chat model: request, response, and errors. An endpoint and a local model implement it.

A response is the return value of the call that made the request. It is never an item of a list that must be
matched with a list of requests.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from stages.models.chat.thoughts import remove_thoughts

OK, TRUNCATED, REFUSED = "ok", "truncated", "refused"
STATUSES = (OK, TRUNCATED, REFUSED)  # from best to worst

_CONTROLS = {code: " " for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
_COMPLETE = frozenset(
    {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_str", "complete", "completed"}
)
_FILTERED = re.compile(
    r"content_?filter|safety|refusal|recitation|prohibited|blocklist|spii|guardrail|moderation"
)
_SENTENCE_END = re.compile(r"[.!?…。！？｡।॥۔؟።။៕][\W_]*\Z")
_REFUSAL = re.compile(
    r"\W*(i['’]?m (very |really )?sorry\b|i am (very |really )?sorry\b|sorry, (but )?i\b"
    r"|i (can['’]?t|cannot|can not|am unable to|['’]m unable to|won['’]t) "
    r"(help|assist|describe|provide|identify|view|see|process|fulfil|comply|do that|caption)"
    r"|i['’]m (unable|not able) to\b|as an ai\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ChatRequest:
    """A prompt with images, after earlier turns of the same conversation.

    Attributes:
        prompt: The prompt to answer.
        images: JPEGs in order of time. They come before the first prompt of the conversation.
        earlier: Earlier prompts of the conversation with their answers.
    """

    prompt: str
    images: tuple[bytes, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ChatResponse:
    """The response to one request.

    Attributes:
        text: Clean text; empty only if the model refused.
        status: One of `STATUSES`.
        revision: Revision of the model, as far as it is known.
        prompt_tokens: Tokens read; None if unknown.
        output_tokens: Tokens written; None if unknown.
        seconds: Time in s from the request to the complete response, of the last attempt.
    """

    text: str
    status: str
    revision: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0


class NoResponse(Exception):
    """This request has no usable response, although the model is available. The row becomes an error."""


class ChatModel(Protocol):
    """A model that answers requests: an endpoint, or a model in this process."""

    def check_available(self) -> None:
        """Raise `Unavailable` if the model is known to be unavailable now."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Return the response to one request.

        Raises:
            NoResponse: there is no usable response, although other requests succeed.
            Unavailable: the model is unavailable now.
        """


def make_response(
    text: str,
    finish_reason: str,
    refusal: str = "",
    *,
    has_thoughts: bool = False,
    revision: str = "",
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
    seconds: float = 0.0,
) -> ChatResponse:
    """Clean a model's text and find its status.

    Args:
        finish_reason: Why the text ended, as in the chat completions API: "stop", "length", "content_filter".
            Only "stop" and its synonyms mean that the text is complete. Where the reason is empty, because
            the endpoint gives none, a text that ends with a sentence is complete.
        refusal: The model's refusal, if the API gives it separately.
        has_thoughts: Whether the API gives thoughts separately.
        revision, prompt_tokens, output_tokens, seconds: As in `ChatResponse`.

    Raises:
        NoResponse: the text is empty.
    """
    reason = finish_reason.lower()
    clean = clean_text(remove_thoughts(text))
    if refusal or _FILTERED.search(reason) or _REFUSAL.match(clean):
        return ChatResponse("", REFUSED, revision, prompt_tokens, output_tokens, seconds)
    is_complete = reason in _COMPLETE or (not reason and bool(_SENTENCE_END.search(clean)))
    if not clean:
        what = "only thoughts and no answer" if has_thoughts or text.strip(" \n\0") else "no text"
        if is_complete or not reason:
            hint = ": switch its thoughts off with extra_body" if what != "no text" else ""
        else:
            hint = f": it ended with {reason!r}; raise max_tokens"
        raise NoResponse(f"the model returned {what}{hint}")
    status = OK if is_complete else TRUNCATED
    return ChatResponse(clean, status, revision, prompt_tokens, output_tokens, seconds)


def clean_text(text: str) -> str:
    """Return text that any file can hold: no control characters, lone surrogates or outer blanks."""
    valid = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
    return valid.replace("\r\n", "\n").translate(_CONTROLS).strip()
