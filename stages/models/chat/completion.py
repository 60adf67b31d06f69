"""Parses the body of a response of a chat completions endpoint, also where servers deviate from the API."""

import json
import re
from collections.abc import Mapping
from typing import Any

from stages.models.chat.chat_model import ChatResponse, NoResponse, clean_text, make_response

_TEXT_PARTS = ("text", "output_text")
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
_EVENT_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)


class BadBody(Exception):
    """The body of a response is not a chat completion.

    Attributes:
        status: The HTTP status that an error in the body reports; 0 if it reports none.
        message: The words of that error; empty if the body holds no error. They may contain secrets.
    """

    def __init__(self, reason: str, status: int = 0, message: str = "") -> None:
        super().__init__(reason)
        self.status, self.message = status, message


def parse_completion(data: bytes, seconds: float) -> ChatResponse:
    """Parse the body of a successful response: a completion, or a stream of its chunks.

    Raises:
        BadBody: the body is not a chat completion, or holds an error.
        NoResponse: the model returned no text.
    """
    try:
        body = _join_chunks(data) if _EVENT_STREAM.match(data) else json.loads(data)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise BadBody(_describe(data)) from None
    if error := find_error(body):
        raise BadBody("its response is an error", *error)
    try:
        if not body["choices"]:
            raise BadBody("its response has no choices")
        choice = body["choices"][0]
        if error := find_error(choice):
            raise BadBody("its response is an error", *error)
        message = choice["message"]
        text, refusal = _text(message.get("content")), _refusal(message)
        thoughts = any(message.get(name) for name in _THOUGHT_FIELDS)
        has_tool_calls = bool(message.get("tool_calls") or message.get("function_call"))
        reason = choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        raise BadBody("its response is not a chat completion") from None
    usage = body.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    if not text and not refusal and has_tool_calls:
        raise NoResponse("the model calls a tool in place of an answer: remove the tools from extra_body")
    return make_response(
        text,
        reason if isinstance(reason, str) else "",
        refusal,
        has_thoughts=thoughts,
        revision=_revision(body),
        prompt_tokens=_token_count(counts.get("prompt_tokens")),
        output_tokens=_token_count(counts.get("completion_tokens")),
        seconds=seconds,
    )


def find_error(body: Any) -> tuple[int, str] | None:
    """Return the HTTP status (0: unknown) and the words of an error in a JSON value; None without one."""
    if not isinstance(body, dict):
        return None
    error = body.get("error") or body.get("errors")
    if not error and "choices" not in body and "message" not in body:
        error = body.get("detail")
    if not error and "choices" not in body and isinstance(body.get("message"), str):
        error = body  # {"object": "error", "message": …}
    if not error:
        return None
    first = error[0] if isinstance(error, list) else error
    fields = first if isinstance(first, dict) else {"message": first}
    words = next((fields[name] for name in ("message", "msg", "detail", "error") if fields.get(name)), fields)
    text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    names = [fields[name] for name in ("code", "type") if isinstance(fields.get(name), str)]
    codes = [str(fields.get(name)) for name in ("code", "status", "status_code")]
    status = next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), 0)
    return status, " ".join([text, *(f"({name})" for name in names if name not in text)])


def _join_chunks(data: bytes) -> dict[str, Any]:
    """Return the completion that the chunks of a server-sent event stream make.

    Raises:
        ValueError: an event is not JSON, or there is none.
    """
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    events = [line.partition(b":")[2].strip() for line in lines if line.lstrip().startswith(b"data:")]
    chunks = [json.loads(event) for event in events if event not in (b"", b"[DONE]")]
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        raise ValueError("no chunks")
    body: dict[str, Any] = {}
    message: dict[str, Any] = {"content": ""}
    choice: dict[str, Any] = {"message": message}
    for chunk in chunks:
        body |= {name: value for name, value in chunk.items() if value and name != "choices"}
        choices = chunk.get("choices")
        part = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(part, dict) or part.get("index"):
            continue
        choice |= {name: part[name] for name in ("finish_reason", "error") if part.get(name)}
        delta = part.get("delta") or part.get("message") or {}
        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name == "content":
                message["content"] += _text(value)
            elif isinstance(value, str):
                message[name] = message.get(name, "") + value
            elif value:
                message[name] = value
    has_choices = any("choices" in chunk for chunk in chunks)
    return body | ({"choices": [choice]} if has_choices else {})


def _text(content: Any) -> str:
    """Return the text of a string, of a list of parts, or of None. Parts with thoughts or tools have none.

    Raises:
        TypeError, LookupError, AttributeError: it is something else.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = [content] if isinstance(content, dict) else content
    texts = [
        part if isinstance(part, str) else part["text"]
        for part in parts
        if isinstance(part, str) or part.get("type", "text") in _TEXT_PARTS
    ]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return "".join(texts)


def _refusal(message: Mapping[str, Any]) -> str:
    """Return the refusal of a message: a field of its own, or a part of the content."""
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return _text(message.get("refusal")) or "".join(_text(part.get("refusal")) for part in parts)


def _describe(data: bytes) -> str:
    """Say what a body that is not JSON is."""
    text = data[:4096].decode("utf-8", "replace")
    if not re.match(r"\s*<(!doctype|html|head|body)", text, re.IGNORECASE):
        return "its response is not JSON"
    title = _TITLE.search(text)
    name = f' with the title "{" ".join(title[1].split())[:80]}"' if title else ""
    return f"its response is an HTML page{name}, not JSON: check the URL"


def _revision(body: Mapping[str, Any]) -> str:
    """Return model and fingerprint, as the endpoint reports them."""
    names = (body.get("model"), body.get("system_fingerprint"))
    return " ".join(clean_text(name)[:200] for name in names if isinstance(name, str) and name)


def _token_count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None
