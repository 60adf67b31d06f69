"""Replaces `${knob}` references in a YAML recipe by knob values, and escapes `${` when YAML is written."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from manifests.messages import closest_name, join_names
from pipeline.recipes.yaml_positions import Item

_REFERENCE = re.compile(r"(\$\$\{)|\$\{(\w+)\}")


def fill_references(item: Item, knobs: Mapping[str, Any]) -> Item:
    """Return the item with every `${knob}` inside it replaced by the value of the knob.

    Raises:
        RecipeError: A reference names an unknown knob.
    """
    if isinstance(item.value, dict):
        return replace(item, value={key: fill_references(value, knobs) for key, value in item.value.items()})
    if isinstance(item.value, list):
        return replace(item, value=[fill_references(value, knobs) for value in item.value])
    if not isinstance(item.value, str):
        return item
    for match in _REFERENCE.finditer(item.value):
        if match[2] and match[2] not in knobs:
            hint = closest_name(match[2], knobs)
            remedy = f"did you mean ${{{hint}}}? " if hint else ""
            item.fail(f"there is no knob {match[2]!r}", f"{remedy}available knobs: {join_names(knobs)}")
    whole = _REFERENCE.fullmatch(item.value)
    if whole and whole[2]:
        return replace(item, value=knobs[whole[2]])
    return replace(item, value=_REFERENCE.sub(lambda m: "${" if m[1] else _to_text(knobs[m[2]]), item.value))


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def escape_references(value: Any) -> Any:
    """Return the value with every `${` written as `$${`, which the YAML reader turns back into `${`."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: escape_references(v) for key, v in value.items()}
    return [escape_references(v) for v in value] if isinstance(value, list | tuple) else value
