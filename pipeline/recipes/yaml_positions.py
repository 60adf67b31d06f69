"""YAML read with the place of every value, so that an error can point at the line it is about.

Only plain data is read, by the rules of YAML 1.2: no tags, no anchors, no key twice, and of the
plain words only true, false, null and numbers are anything but text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from manifests.wording import listed, nearest, pointed
from pipeline.errors import RecipeError
from pipeline.recipes.values import Misfit, fit

MOST_CHARACTERS = 1 << 20
_DEEPEST = 20  # nested lists and mappings
_LINE = "\n" + " " * 10  # a further line under "  where:  "
_PLAIN = (
    ("null", r"~|null|Null|NULL|", "~nN", ""),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF", ""),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789", "0"),
    ("float", r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", "-+.0123456789", "0"),
)


@dataclass(frozen=True)
class Item:
    """A value of the text (text, number, flag or None; a list or a mapping of items) and its place."""

    value: Any
    file: str
    line: int
    shown: str
    start: int
    size: int

    def fail(self, what: str, remedy: str = "") -> NoReturn:
        """Raise a `RecipeError` about this value."""
        raise RecipeError(what, where=self.where(), remedy=remedy)

    def where(self) -> str:
        """File and line, and the line itself with a mark under this value."""
        mark = pointed(self.shown, self.start, self.size)
        return f"{self.file}, line {self.line}{_LINE}{mark}"

    def mapping(self, what: str, known: Iterable[str] = (), needed: Iterable[str] = ()) -> "dict[str, Item]":
        """The items of a mapping by key. With `known`, other keys are errors.

        Raises:
            RecipeError: it is no mapping, a key is unknown, or one of `needed` is not there.
        """
        if not isinstance(self.value, dict):
            self.fail(f"{what} is a group of `key: value` lines, and this is none")
        found = {key.value: item for key, item in self.value.items()}
        every = list(known)
        for key in self.value if every else ():
            if key.value not in every:
                hint = nearest(key.value, every)
                remedy = f"did you mean {hint!r}? " if hint else ""
                key.fail(f"there is no key {key.value!r} in {what}", f"{remedy}its keys: {listed(every)}")
        for name in needed:
            if name not in found:
                self.fail(f"the key {name!r} is missing in {what}")
        return found

    def keys(self) -> "dict[str, Item]":
        """The keys of a mapping, as items that know their place."""
        return {key.value: key for key in self.value}

    def read(self, kind: object, what: str) -> Any:
        """This value as a declared type wants it.

        Raises:
            RecipeError: it is of another type.
        """
        try:
            return fit(self.plain(), kind)
        except Misfit as misfit:
            self.fail(f"{what}: {misfit}")

    def plain(self) -> Any:
        """The value without places: a mapping becomes a dict, a list a list."""
        if isinstance(self.value, dict):
            return {key.value: item.plain() for key, item in self.value.items()}
        return [item.plain() for item in self.value] if isinstance(self.value, list) else self.value


class _Loader(yaml.SafeLoader):
    """Stops at aliases, at tags and at too deep nesting; numbers and flags as in YAML 1.2."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}  # type: ignore[assignment]
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        refused = "an alias" if isinstance(event, yaml.AliasEvent) else ""
        if not refused and getattr(event, "anchor", None):
            refused = "an anchor"
        if not refused and getattr(event, "tag", None):
            refused = "a tag"
        if not refused and self.depth > _DEEPEST:
            refused = f"a value nested more than {_DEEPEST} deep"
        if refused:
            raise yaml.MarkedYAMLError(problem=f"{refused} is not read", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Dumper(yaml.SafeDumper):
    """Writes what `marked` reads: the same plain words, no anchors."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}  # type: ignore[assignment]

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, value: str) -> Any:
        """A scalar; in double quotes, which escape, where it holds one of Unicode's other line ends."""
        style = '"' if re.search("[\x85\u2028\u2029]", value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, Dumper.text)

for _tag, _pattern, _first, _ in _PLAIN:
    for _kind in (_Loader, Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""]
        )


def marked(text: str, file: str) -> Item:
    """Read YAML.

    Raises:
        RecipeError: it is not YAML, too large, or uses what is not read here.
    """
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"this YAML is larger than {MOST_CHARACTERS} characters", where=file)
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", text)  # as YAML counts them
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        if mark is None:
            raise RecipeError(f"this is not YAML: {what}", where=file) from error
        _item(None, mark, mark, file, lines).fail(f"this YAML cannot be read: {what}")
    except yaml.YAMLError as error:  # a character that no YAML may hold
        raise RecipeError(f"this is not YAML: {error}".splitlines()[0], where=file) from error
    if node is None:
        raise RecipeError("the file is empty", where=file)
    return _read(node, file, lines)


def _read(node: Any, file: str, lines: list[str]) -> Item:
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = _read(key_node, file, lines)
            if not isinstance(key.value, str):
                key.fail("a key is text", "put it in quotes if it is meant to look like this")
            if key.value in seen:
                key.fail(f"the key {key.value!r} is there already, in line {seen[key.value]}")
            seen[key.value] = key.line
            value[key] = _read(value_node, file, lines)
    elif isinstance(node, yaml.SequenceNode):
        value = [_read(item, file, lines) for item in node.value]
    else:
        value = _scalar(node.tag.rpartition(":")[2], node.value)
    return _item(value, node.start_mark, node.end_mark, file, lines)


def _scalar(tag: str, text: str) -> Any:
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text)
    if tag == "float":
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return None if tag == "null" else text


def _item(value: Any, start: Any, end: Any, file: str, lines: list[str]) -> Item:
    shown = lines[start.line] if start.line < len(lines) else ""
    size = end.column - start.column if end.line == start.line else len(shown.rstrip()) - start.column
    return Item(value, file, start.line + 1, shown, start.column, max(1, size))
