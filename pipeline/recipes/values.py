"""Converts text and YAML values to the declared type of a setting or a knob.

Supported types: str, int, float, bool, Literal, tuple[X, ...], tuple[X, Y], and any of these with `| None`.
`Annotated[int, Range(0, 51)]` also declares which numbers are allowed.
"""

import math
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from manifests import Range
from manifests.messages import closest_name, join_names

_TYPE_NAMES: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_JSON_TYPES: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class ValueMismatch(ValueError):
    """A value does not have its declared type. The message names both; the caller adds the location."""


def is_plain(value_type: object) -> bool:
    """Return whether a declared type is one of the supported types."""
    inner, _, _ = _parts(value_type)
    if get_origin(inner) is tuple:
        return bool(get_args(inner)) and all(is_plain(k) for k in get_args(inner) if k is not ...)
    return inner in _TYPE_NAMES or get_origin(inner) is Literal


def type_name(value_type: object) -> str:
    """Describe a declared type for an error message."""
    inner, optional, limits = _parts(value_type)
    if get_origin(inner) is Literal:
        text = f"one of {join_names(str(choice) for choice in get_args(inner))}"
    elif get_origin(inner) is tuple:
        element_types = get_args(inner)
        variadic = f"a list, each {type_name(element_types[0])}"
        text = (
            variadic
            if ... in element_types
            else f"a list of {len(element_types)}: {', '.join(map(type_name, element_types))}"
        )
    else:
        text = _TYPE_NAMES.get(inner, str(inner)) + (f", {limits}" if limits else "")
    return f"{text}, or none" if optional else text


def parse_value(text: str, value_type: object) -> Any:
    """Parse a command-line value, such as `0.4`, `yes`, `none` or `480,720`.

    Raises:
        ValueMismatch: The text is not a value of this type, or is out of range.
    """
    inner, optional, limits = _parts(value_type)
    if optional and text.lower() in ("none", "null"):
        return None
    if get_origin(inner) is tuple:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        return tuple(parse_value(p, k) for p, k in zip(parts, _element_types(parts, inner), strict=True))
    if get_origin(inner) is Literal:
        return convert_value({str(choice): choice for choice in get_args(inner)}.get(text, text), value_type)
    if inner is bool and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if inner in (int, float):
        try:
            number = convert_value(int(text) if inner is int else float(text), inner)
        except ValueError:
            raise ValueMismatch(f"{text!r} is not {type_name(value_type)}") from None
        return _in_range(number, limits)
    return convert_value(text, value_type)


def convert_value(value: Any, value_type: object) -> Any:
    """Convert a YAML or Python value to the declared type: lists become tuples, 1 becomes 1.0 for a float.

    Raises:
        ValueMismatch: The value has another type, or is out of range.
    """
    inner, optional, limits = _parts(value_type)
    if value is None and optional:
        return None
    if get_origin(inner) is tuple and isinstance(value, list | tuple):
        return tuple(convert_value(v, k) for v, k in zip(value, _element_types(value, inner), strict=True))
    if get_origin(inner) is Literal:
        for choice in get_args(inner):
            if choice == value and type(choice) is type(value):
                return choice
        hint = closest_name(str(value), map(str, get_args(inner)))
        raise ValueMismatch(
            f"{value!r} is not {type_name(value_type)}{f'; did you mean {hint!r}?' if hint else ''}"
        )
    if inner is float and type(value) in (int, float) and math.isfinite(value):
        return _in_range(float(value), limits)
    if inner in _TYPE_NAMES and inner is not float and type(value) is inner:
        return _in_range(value, limits)
    raise ValueMismatch(f"{_display(value)} is not {type_name(value_type)}")


def type_schema(value_type: object) -> dict[str, Any]:
    """Return the JSON schema of a declared type."""
    inner, optional, limits = _parts(value_type)
    if get_origin(inner) is Literal:
        schema: dict[str, Any] = {"enum": list(get_args(inner))}
    elif get_origin(inner) is tuple:
        element_types = [k for k in get_args(inner) if k is not ...]
        variadic = {"items": type_schema(element_types[0])} if ... in get_args(inner) else {}
        fixed = {
            "prefixItems": [type_schema(k) for k in element_types],
            "minItems": len(element_types),
            "maxItems": len(element_types),
        }
        schema = {"type": "array", **(variadic or fixed)}
    else:
        schema = {"type": _JSON_TYPES[inner]} if inner in _JSON_TYPES else {}
        schema |= limits.json_schema() if limits else {}
    return {"anyOf": [schema, {"type": "null"}]} if optional else schema


def _element_types(values: Sequence[Any], value_type: object) -> tuple[object, ...]:
    element_types = get_args(value_type)
    if ... in element_types:
        return (element_types[0],) * len(values)
    if len(element_types) != len(values):
        raise ValueMismatch(f"{len(values)} values instead of {len(element_types)}: {type_name(value_type)}")
    return element_types


def _in_range(value: Any, limits: Range | None) -> Any:
    if limits and not limits.contains(value):
        raise ValueMismatch(f"{value} is out of range; allowed: {limits}")
    return value


def range_of(value_type: object) -> Range | None:
    """Return the allowed numbers of a declared type, or None if it declares none."""
    return _parts(value_type)[2]


def with_range(description: str, value_type: object) -> str:
    """Return the description of a value with its allowed numbers."""
    limits = range_of(value_type)
    return f"{description} Range: {limits}." if limits and description else description


def _parts(value_type: object) -> tuple[object, bool, Range | None]:
    """Return the type without `| None` and range, whether it had `| None`, and the range.

    Other unions stay unchanged.
    """
    if get_origin(value_type) is Annotated:
        declared, *notes = get_args(value_type)
        inner, optional, limits = _parts(declared)
        return inner, optional, next((note for note in notes if isinstance(note, Range)), limits)
    if get_origin(value_type) in (Union, types.UnionType) and type(None) in get_args(value_type):
        rest = [k for k in get_args(value_type) if k is not type(None)]
        if len(rest) > 1:
            return value_type, True, None
        inner, _, limits = _parts(rest[0])
        return inner, True, limits
    return value_type, False, None


def _display(value: Any) -> str:
    texts = {
        bool: "true" if value else "false",
        type(None): "nothing",
        dict: "a group of keys",
        list: "a list",
    }
    return texts.get(type(value), repr(value))
