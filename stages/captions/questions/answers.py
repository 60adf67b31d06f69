"""Parses the answer of a chat model to several questions: a JSON object, also where models deviate from it.

Repaired are: text and code fences around the object; single quotes, trailing commas and Python's True and
False; lines `name: answer` without an object; names in another case; "yes" and "no" for true and false; an
object {"answer": …} around a value; a number for a choice.
Anything else is an error: a missing question, an unknown choice.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from stages.captions.questions.question import Question

Answer = bool | str | None

_MAX_BRACKETS = 100  # of a text that is read as YAML, whose reader is slow where brackets are nested
_FENCE = re.compile(r"```[a-zA-Z]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_YES_NO = re.compile(r"(yes|true|no|false)(?:\s*[.,;:!–—-].*)?\Z", re.DOTALL)
_UNKNOWN = frozenset({"", "null", "none", "unknown", "unclear", "uncertain", "n/a", "na", "not visible"})


class BadAnswer(Exception):
    """The text does not answer all questions."""


def parse_answers(text: str, questions: Sequence[Question]) -> dict[str, Answer]:
    """Return the answer to each question by name; None where the model says that it cannot tell.

    Raises:
        BadAnswer: the text holds no object, lacks a question, or holds an answer that is not possible.
    """
    names = {question.name for question in questions}
    found = next((fields for fields in map(_fields, _objects(text)) if names & set(fields)), None)
    if found is None:
        raise BadAnswer("it is not a JSON object with the names of the questions")
    return {question.name: _answer(question, found) for question in questions}


def _objects(text: str) -> Iterator[Any]:
    """Yield the values that a text may hold, the strictest reading first."""
    import yaml

    spans = [text, *_FENCE.findall(text)]
    spans += [span[span.find("{") : span.rfind("}") + 1] for span in reversed(spans) if "{" in span]
    for span in spans:
        try:
            yield json.loads(span, object_pairs_hook=_Pairs, strict=False)
        except (ValueError, RecursionError):
            continue
    for span in reversed(spans):
        if span.count("{") + span.count("[") > _MAX_BRACKETS:
            continue
        try:
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(span)):
                continue  # a few aliases of aliases are gigabytes when they are written
            value = yaml.safe_load(span)
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        yield _Pairs(value.items()) if isinstance(value, dict) else value


class _Pairs(list[tuple[Any, Any]]):
    """The names and values of an object, in order. A name may occur twice."""


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of an object by their names in lower_snake_case; {} if it is no object.

    Raises:
        BadAnswer: a name occurs twice with different values.
    """
    if not isinstance(value, _Pairs):
        return {}
    if len(value) == 1 and isinstance(value[0][1], _Pairs | dict) and "answer" not in dict(value[0][1]):
        inner = value[0][1]  # {"answers": {…}}
        value = inner if isinstance(inner, _Pairs) else _Pairs(inner.items())
    fields: dict[str, Any] = {}
    for name, answer in value:
        key = re.sub(r"[\s-]+", "_", str(name).strip().casefold())
        if key in fields and fields[key] != answer:
            raise BadAnswer(f"{key!r} has two answers")
        fields[key] = answer
    return fields


def _answer(question: Question, fields: dict[str, Any]) -> Answer:
    if question.name not in fields:
        raise BadAnswer(f"it has no answer to {question.name!r}")
    value = fields[question.name]
    if isinstance(value, _Pairs | dict):
        value = dict(value).get("answer", value)
    if value is None or (isinstance(value, bool) and not question.choices):
        return value
    word = str(value).strip() if isinstance(value, str | int) else None  # also a flag
    if word is not None:
        plain = word.strip(" .\"'").casefold()
        choice = next((c for c in question.choices if c.strip(" .\"'").casefold() == plain), None)
        if choice is not None:
            return choice
        if plain in _UNKNOWN:
            return None
        if not question.choices and (match := _YES_NO.match(plain)):
            return match[1] in ("yes", "true")
    raise BadAnswer(f"{json.dumps(value, default=str)} is no answer to {question.name!r}")
