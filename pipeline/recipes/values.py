"""Plain values: what settings and knobs may hold, read from words and from YAML by their declared type.

str, int, float, bool, Literal, tuple[X, ...], tuple[X, Y], and any of these with `| None`.
"""

import math
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

from manifests.wording import listed, nearest

_WORDS: dict[object, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_JSON: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_BOOLS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Misfit(ValueError):
    """A value is not of its declared type. The message says so; the caller knows where it stands."""


def is_plain(kind: object) -> bool:
    """Whether a declared type is one of those above."""
    inner, _ = _optional(kind)
    if get_origin(inner) is tuple:
        return bool(get_args(inner)) and all(is_plain(k) for k in get_args(inner) if k is not ...)
    return inner in _WORDS or get_origin(inner) is Literal


def said(kind: object) -> str:
    """A declared type in words."""
    inner, optional = _optional(kind)
    if get_origin(inner) is Literal:
        words = f"one of {listed(str(choice) for choice in get_args(inner))}"
    elif get_origin(inner) is tuple:
        kinds = get_args(inner)
        many = f"a list, each {said(kinds[0])}"
        words = many if ... in kinds else f"a list of {len(kinds)}: {', '.join(map(said, kinds))}"
    else:
        words = _WORDS.get(inner, str(inner))
    return f"{words}, or none" if optional else words


def from_word(word: str, kind: object) -> Any:
    """A value from a word of a command: `0.4`, `yes`, `none`, `480,720`.

    Raises:
        Misfit: the word does not say a value of this type.
    """
    inner, optional = _optional(kind)
    if optional and word.lower() in ("none", "null"):
        return None
    if get_origin(inner) is tuple:
        parts = [part.strip() for part in word.split(",")] if word.strip() else []
        return tuple(from_word(p, k) for p, k in zip(parts, _element_kinds(parts, inner), strict=True))
    if get_origin(inner) is Literal:
        return fit({str(choice): choice for choice in get_args(inner)}.get(word, word), kind)
    if inner is bool and word.lower() in _BOOLS:
        return _BOOLS[word.lower()]
    if inner in (int, float):
        try:
            return fit(int(word) if inner is int else float(word), inner)
        except ValueError:
            raise Misfit(f"{word!r} is not {said(kind)}") from None
    return fit(word, kind)


def fit(value: Any, kind: object) -> Any:
    """A value of YAML or Python as the declared type wants it: lists become tuples, 1 becomes 1.0.

    Raises:
        Misfit: the value is of another type.
    """
    inner, optional = _optional(kind)
    if value is None and optional:
        return None
    if get_origin(inner) is tuple and isinstance(value, list | tuple):
        return tuple(fit(v, k) for v, k in zip(value, _element_kinds(value, inner), strict=True))
    if get_origin(inner) is Literal:
        for choice in get_args(inner):
            if choice == value and type(choice) is type(value):
                return choice
        hint = nearest(str(value), map(str, get_args(inner)))
        raise Misfit(f"{value!r} is not {said(kind)}{f'; did you mean {hint!r}?' if hint else ''}")
    if inner is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if inner in _WORDS and inner is not float and type(value) is inner:
        return value
    raise Misfit(f"{_shown(value)} is not {said(kind)}")


def schema(kind: object) -> dict[str, Any]:
    """The JSON schema of a declared type."""
    inner, optional = _optional(kind)
    if get_origin(inner) is Literal:
        found: dict[str, Any] = {"enum": list(get_args(inner))}
    elif get_origin(inner) is tuple:
        kinds = [k for k in get_args(inner) if k is not ...]
        many = {"items": schema(kinds[0])} if ... in get_args(inner) else {}
        each = {"prefixItems": [schema(k) for k in kinds], "minItems": len(kinds), "maxItems": len(kinds)}
        found = {"type": "array", **(many or each)}
    else:
        found = {"type": _JSON[inner]} if inner in _JSON else {}
    return {"anyOf": [found, {"type": "null"}]} if optional else found


def _element_kinds(values: Sequence[Any], kind: object) -> tuple[object, ...]:
    kinds = get_args(kind)
    if ... in kinds:
        return (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise Misfit(f"{len(values)} given where {len(kinds)} are wanted: {said(kind)}")
    return kinds


def _optional(kind: object) -> tuple[object, bool]:
    """The type without its `| None`, and whether it had one; other unions stay as they are."""
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        rest = [k for k in get_args(kind) if k is not type(None)]
        return (rest[0], True) if len(rest) == 1 else (kind, True)
    return kind, False


def _shown(value: Any) -> str:
    words = {
        bool: "true" if value else "false",
        type(None): "nothing",
        dict: "a group of keys",
        list: "a list",
    }
    return words.get(type(value), repr(value))
