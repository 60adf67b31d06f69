"""Parses YAML and keeps the position of every value, so that an error can point at its line.

The parser accepts plain data only and follows YAML 1.2: no tags, no anchors, no duplicate keys. Of the
unquoted words only true, false, null and numbers have a special meaning; every other word is text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from manifests.messages import closest_name, join_names, mark_position
from pipeline.errors import RecipeError
from pipeline.recipes.values import ValueMismatch, convert_value

MAX_CHARACTERS = 1 << 20
_MAX_DEPTH = 20  # nested lists and mappings
_LINE = "\n" + " " * 10  # a continuation line below "  where:  "
_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN", ""),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF", ""),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789", "0"),
    ("float", r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", "-+.0123456789", "0"),
)


@dataclass(frozen=True)
class Item:
    """A YAML value and its position.

    Attributes:
        value: Text, a number, a boolean or None; a list of items; or a mapping from key items to items.
        file: Name of the file.
        line: Line number, from 1.
        line_text: The text of the line.
        start: Column of the first character, from 0.
        size: Number of characters on this line.
    """

    value: Any
    file: str
    line: int
    line_text: str
    start: int
    size: int

    def fail(self, what: str, remedy: str = "") -> NoReturn:
        """Raise a `RecipeError` that points at this value."""
        raise RecipeError(what, where=self.where(), remedy=remedy)

    def where(self) -> str:
        """Return the file, the line number, and the line with a mark below this value."""
        marked_line = mark_position(self.line_text, self.start, self.size)
        return f"{self.file}, line {self.line}{_LINE}{marked_line}"

    def mapping(
        self, what: str, known: Iterable[str] = (), required: Iterable[str] = ()
    ) -> "dict[str, Item]":
        """Return the items of a mapping by key. If `known` is not empty, other keys are errors.

        Raises:
            RecipeError: The value is not a mapping, a key is unknown, or a required key is missing.
        """
        if not isinstance(self.value, dict):
            self.fail(f"{what} must be a mapping of `key: value` lines")
        found = {key.value: item for key, item in self.value.items()}
        allowed = list(known)
        for key in self.value if allowed else ():
            if key.value not in allowed:
                hint = closest_name(key.value, allowed)
                remedy = f"did you mean {hint!r}? " if hint else ""
                key.fail(
                    f"there is no key {key.value!r} in {what}", f"{remedy}allowed keys: {join_names(allowed)}"
                )
        for name in required:
            if name not in found:
                self.fail(f"the key {name!r} is missing in {what}")
        return found

    def keys(self) -> "dict[str, Item]":
        """Return the keys of a mapping as items with positions."""
        return {key.value: key for key in self.value}

    def read(self, value_type: object, what: str) -> Any:
        """Convert this value to a declared type.

        Raises:
            RecipeError: The value has another type.
        """
        try:
            return convert_value(self.plain(), value_type)
        except ValueMismatch as mismatch:
            self.fail(f"{what}: {mismatch}")

    def plain(self) -> Any:
        """Return the value without positions, as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key.value: item.plain() for key, item in self.value.items()}
        return [item.plain() for item in self.value] if isinstance(self.value, list) else self.value


class _Loader(yaml.SafeLoader):
    """Rejects aliases, anchors, tags and deep nesting; parses numbers and booleans as YAML 1.2."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}  # type: ignore[assignment]
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        unsupported = "an alias" if isinstance(event, yaml.AliasEvent) else ""
        if not unsupported and getattr(event, "anchor", None):
            unsupported = "an anchor"
        if not unsupported and getattr(event, "tag", None):
            unsupported = "a tag"
        if not unsupported and self.depth > _MAX_DEPTH:
            unsupported = f"a value nested more than {_MAX_DEPTH} deep"
        if unsupported:
            raise yaml.MarkedYAMLError(
                problem=f"{unsupported} is not supported", problem_mark=event.start_mark
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Dumper(yaml.SafeDumper):
    """Writes YAML that `parse_yaml` reads: the same scalars, no anchors."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}  # type: ignore[assignment]

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, value: str) -> Any:
        """Represent text; text with a Unicode line separator gets double quotes, which escape it."""
        style = '"' if re.search("[\x85\u2028\u2029]", value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, Dumper.text)

for _tag, _pattern, _first, _ in _SCALARS:
    for _class in (_Loader, Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""]
        )


def parse_yaml(text: str, file: str) -> Item:
    """Parse YAML text; `file` is the name shown in errors.

    Raises:
        RecipeError: The text is not YAML, is too large, or uses an unsupported feature.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(f"this YAML has more than {MAX_CHARACTERS} characters", where=file)
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)  # the line ends of YAML
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        if mark is None:
            raise RecipeError(f"this is not YAML: {what}", where=file) from error
        _make_item(None, mark, mark, file, lines).fail(f"this YAML cannot be read: {what}")
    except yaml.YAMLError as error:  # a character that YAML forbids
        raise RecipeError(f"this is not YAML: {error}".splitlines()[0], where=file) from error
    if node is None:
        raise RecipeError("the file is empty", where=file)
    return _convert_node(node, file, lines)


def _convert_node(node: Any, file: str, lines: list[str]) -> Item:
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = _convert_node(key_node, file, lines)
            if not isinstance(key.value, str):
                key.fail("a key must be text", "put the key in quotes")
            if key.value in first_lines:
                key.fail(f"duplicate key {key.value!r}; the first one is in line {first_lines[key.value]}")
            first_lines[key.value] = key.line
            value[key] = _convert_node(value_node, file, lines)
    elif isinstance(node, yaml.SequenceNode):
        value = [_convert_node(item, file, lines) for item in node.value]
    else:
        try:
            value = _scalar(node.tag.rpartition(":")[2], node.value)
        except ValueError:  # more digits than Python converts
            position = _make_item(None, node.start_mark, node.end_mark, file, lines)
            position.fail("this number has too many digits")
    return _make_item(value, node.start_mark, node.end_mark, file, lines)


def _scalar(tag: str, text: str) -> Any:
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text)
    if tag == "float":
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return None if tag == "null" else text


def _make_item(value: Any, start: Any, end: Any, file: str, lines: list[str]) -> Item:
    line_text = lines[start.line] if start.line < len(lines) else ""
    size = end.column - start.column if end.line == start.line else len(line_text.rstrip()) - start.column
    return Item(value, file, start.line + 1, line_text, start.column, max(1, size))
