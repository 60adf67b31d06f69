"""`${knob}` in the values of a YAML recipe: filled in when it is read, escaped when it is written."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from manifests.wording import listed, nearest
from pipeline.recipes.yaml_positions import Item

_REFERENCE = re.compile(r"(\$\$\{)|\$\{(\w+)\}")


def filled(item: Item, knobs: Mapping[str, Any]) -> Item:
    """The item with the knobs it names put in, wherever they stand."""
    if isinstance(item.value, dict):
        return replace(item, value={key: filled(value, knobs) for key, value in item.value.items()})
    if isinstance(item.value, list):
        return replace(item, value=[filled(value, knobs) for value in item.value])
    if not isinstance(item.value, str):
        return item
    for found in _REFERENCE.finditer(item.value):
        if found[2] and found[2] not in knobs:
            hint = nearest(found[2], knobs)
            remedy = f"did you mean ${{{hint}}}? " if hint else ""
            item.fail(f"there is no knob {found[2]!r}", f"{remedy}the knobs: {listed(knobs)}")
    whole = _REFERENCE.fullmatch(item.value)
    if whole and whole[2]:
        return replace(item, value=knobs[whole[2]])
    return replace(item, value=_REFERENCE.sub(lambda m: "${" if m[1] else _word(knobs[m[2]]), item.value))


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def escaped(value: Any) -> Any:
    """The value with every `${` doubled, since reading it back fills knobs in."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: escaped(v) for key, v in value.items()}
    return [escaped(v) for v in value] if isinstance(value, list | tuple) else value
