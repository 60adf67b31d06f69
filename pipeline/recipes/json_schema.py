"""Builds the JSON schema of YAML recipes, which editors use to complete stages and settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from pipeline.needs import Needs
from pipeline.recipes.descriptions import class_descriptions, descriptions, summary
from pipeline.recipes.discovery import load_stages, required_settings, setting_types
from pipeline.recipes.values import type_schema
from pipeline.rule import ALL, ANY
from pipeline.stage import Source, Stage

_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
_NAMES = {"anyOf": [_NAME, {"type": "array", "items": _NAME}]}
_REFERENCE = {"type": "string", "pattern": r"^\$\{\w+\}$"}  # a knob instead of a value


def json_schema(
    packages: Sequence[str] = ("stages",), knobs: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of YAML recipes that use the stages of these packages.

    Args:
        packages: Names of the packages.
        knobs: Schemas of known knobs by name. Other knobs stay allowed.

    Raises:
        RecipeError: The file of a stage cannot be imported.
    """
    stages = load_stages(packages)
    uses = Counter(stage_class.__name__ for stage_class in stages.values())
    names = {full: [full, *([c.__name__] if uses[c.__name__] == 1 else [])] for full, c in stages.items()}
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
                "properties": {name: dict(schema) for name, schema in (knobs or {}).items()},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "code": {"type": "object", "additionalProperties": {"type": "string"}},
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
                    "properties": {
                        "stage": {"enum": [name for aliases in names.values() for name in aliases]}
                    },
                    "allOf": [_step_schema(stage_class, names[full]) for full, stage_class in stages.items()],
                },
            },
            "keep": _rule_schema(),
        },
    }


def _step_schema(stage_class: type[Stage[Any, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the conditional schema of a step that uses this stage."""
    settings = _described(setting_types(stage_class), class_descriptions(stage_class))
    required = required_settings(stage_class)
    is_source = issubclass(stage_class, Source)
    input_keys = (
        {"rows_per_part": _or_knob({"type": "integer", "minimum": 0})} if is_source else {"from": _NAMES}
    )
    stage_key = {"description": summary(stage_class.__doc__)}
    keys = {"stage": stage_key, "with": _object(settings, required), "needs": _needs_schema(), **input_keys}
    return {
        "if": {"properties": {"stage": {"enum": list(names)}}},
        "then": _object(keys, ("stage", *(["with"] if required else []), *([] if is_source else ["from"]))),
    }


def _needs_schema() -> dict[str, Any]:
    types = get_type_hints(Needs, include_extras=True)
    return _object(_described(types, descriptions(Needs.__doc__)))


def _described(types: Mapping[str, object], docs: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema of each value, with its description where there is one."""
    schemas = {name: _or_knob(type_schema(value_type)) for name, value_type in types.items()}
    return {
        name: {"description": docs[name], **schema} if docs.get(name) else schema
        for name, schema in schemas.items()
    }


def _object(properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _or_knob(value: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [value, _REFERENCE]}


def _rule_schema() -> dict[str, Any]:
    return _object(
        {
            "from": _NAMES,
            "keep": {"type": "string"},
            "because": {"type": "string"},
            "across": {"type": "string"},
            "when": {"enum": [ALL, ANY]},
            "needs": _needs_schema(),
        },
        ("from", "keep", "because"),
    )
