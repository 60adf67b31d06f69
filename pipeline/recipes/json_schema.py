"""The JSON schema of a DAG's YAML, by which editors complete stages and settings as one writes."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from pipeline.needs import Needs
from pipeline.recipes.discovery import known_stages, required_of, settings_of
from pipeline.recipes.values import schema
from pipeline.stage import Source, Stage

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
_NAMES = {"anyOf": [_NAME, {"type": "array", "items": _NAME}]}
_REFERENCE = {"type": "string", "pattern": r"^\$\{\w+\}$"}  # a knob in place of a value


def json_schema(packages: Sequence[str] = ("stages",)) -> dict[str, Any]:
    """The schema (draft 2020-12) of a recipe in YAML that names stages of these packages.

    Raises:
        RecipeError: a stage's file cannot be imported.
    """
    stages = known_stages(packages)
    count = Counter(kind.__name__ for kind in stages.values())
    names = {full: [full, *([k.__name__] if count[k.__name__] == 1 else [])] for full, k in stages.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "clipmill recipe",
        "type": "object",
        "required": ["dag", "steps"],
        "additionalProperties": False,
        "properties": {
            "dag": {"type": "string"},
            "knobs": {
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "steps": {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": {"$ref": "#/$defs/step"},
            },
            "save": {"type": "object", "propertyNames": _NAME, "additionalProperties": _NAMES},
        },
        "$defs": {
            "step": {
                "type": "object",
                "if": {"required": ["keep"]},
                "then": {"$ref": "#/$defs/keep"},
                "else": {
                    "required": ["stage"],
                    "properties": {"stage": {"enum": [name for both in names.values() for name in both]}},
                    "allOf": [_step(kind, names[full]) for full, kind in stages.items()],
                },
            },
            "keep": _closed(
                {
                    "from": _NAMES,
                    "keep": {"type": "string"},
                    "because": {"type": "string"},
                    "needs": _needs(),
                },
                ("from", "keep", "because"),
            ),
        },
    }


def _step(kind: type[Stage[Any, Any]], names: Sequence[str]) -> dict[str, Any]:
    """What follows if a step names this stage."""
    settings = {name: _or_knob(schema(wanted)) for name, wanted in settings_of(kind).items()}
    needed = required_of(kind)
    source = issubclass(kind, Source)
    own = {"rows_per_part": _or_knob({"type": "integer", "minimum": 1})} if source else {"from": _NAMES}
    said = {"description": (inspect.getdoc(kind) or "").partition("\n")[0]}
    keys = {"stage": said, "with": _closed(settings, needed), "needs": _needs(), **own}
    return {
        "if": {"properties": {"stage": {"enum": list(names)}}},
        "then": _closed(keys, ("stage", *(["with"] if needed else []), *([] if source else ["from"]))),
    }


def _needs() -> dict[str, Any]:
    return _closed({name: _or_knob(schema(kind)) for name, kind in get_type_hints(Needs).items()})


def _closed(properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _or_knob(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [wanted, _REFERENCE]}
