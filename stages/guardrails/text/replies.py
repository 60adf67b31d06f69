"""Reads the replies of safety models: Llama Guard and Qwen3Guard. A reply without a label is no verdict."""

import re
from typing import NamedTuple

from stages.guardrails.verdict import CATEGORIES, NotRun

LLAMA_GUARD, QWEN3GUARD = "llama_guard", "qwen3guard"
FORMATS = (LLAMA_GUARD, QWEN3GUARD)
_SHOWN = 80  # characters of a reply in a reason
_QWEN_LABEL = re.compile(r"^\W*safety\W*:\W*(safe|unsafe|controversial)\W*$", re.IGNORECASE | re.MULTILINE)
_QWEN_CATEGORIES = re.compile(r"^\W*categor(?:y|ies)\W*:(.*)$", re.IGNORECASE | re.MULTILINE)


class Label(NamedTuple):
    """What a safety model says about a text.

    Attributes:
        label: safe, unsafe, or controversial.
        categories: Its categories, separated by commas; empty if safe.
    """

    label: str
    categories: str


def parse_reply(text: str, reply_format: str) -> Label:
    """Return the label of a reply.

    Raises:
        NotRun: the reply has no label, or several.
    """
    return _llama_guard(text) if reply_format == LLAMA_GUARD else _qwen3guard(text)


def _llama_guard(text: str) -> Label:
    """`safe`, or `unsafe` and on the next line the codes, such as S1,S9."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    label = lines[0].lower() if lines else ""
    if label not in ("safe", "unsafe") or (label == "safe" and len(lines) > 1):
        raise _no_label(text)
    codes = re.findall(r"S\d+", " ".join(lines[1:2]))
    names = [f"{code} {CATEGORIES[code]}" if code in CATEGORIES else code for code in codes]
    return Label(label, ", ".join(names))


def _qwen3guard(text: str) -> Label:
    """`Safety: Safe`, and on the next line `Categories: None`."""
    labels = {label.lower() for label in _QWEN_LABEL.findall(text)}
    if len(labels) != 1:
        raise _no_label(text)
    found = _QWEN_CATEGORIES.search(text)
    categories = found[1].strip() if found else ""
    return Label(labels.pop(), "" if categories.lower() == "none" else categories)


def _no_label(text: str) -> NotRun:
    shown = " ".join(text.split())[:_SHOWN]
    return NotRun(f"the reply has no label: {shown!r}" if shown else "the reply is empty")
