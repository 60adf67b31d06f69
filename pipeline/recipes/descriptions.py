"""Reads the descriptions of knobs, settings, stages and recipes: docstrings, and comments in YAML recipes.

A description is written once, where its value is declared. `--help`, the JSON schema, the report and the
pages of the documentation print it from there.
"""

import inspect
import re

from pipeline.recipes.yaml_positions import Item, parse_yaml

_SECTIONS = ("Args:", "Attributes:")


def summary(doc: str | None) -> str:
    """Return the first line of a docstring."""
    return inspect.cleandoc(doc or "").partition("\n")[0].strip()


def descriptions(doc: str | None) -> dict[str, str]:
    """Return the entries of the sections `Args:` and `Attributes:` of a docstring by name, each on one line.

    An entry starts with `name:` or `name (type):`. Lines that are indented further continue it.
    """
    found: dict[str, list[str]] = {}
    inside, indent, name = False, 0, ""
    for line in inspect.cleandoc(doc or "").splitlines():
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if not depth and text:
            inside, indent, name = text in _SECTIONS, 0, ""
        elif inside and text and depth <= (indent or depth):
            entry = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", text)
            indent, name = depth, entry[1] if entry else ""
            if entry:
                found[name] = [entry[2]]
        elif name and text:
            found[name].append(text)
    return {name: " ".join(lines).strip() for name, lines in found.items()}


def class_descriptions(declared: type) -> dict[str, str]:
    """Return the entries of a class and of its base classes by name. The class itself takes precedence."""
    found: dict[str, str] = {}
    for base in reversed(declared.__mro__):
        found |= descriptions(vars(base).get("__doc__"))
    return found


def yaml_summary(text: str) -> str:
    """Return the first line of the comment at the head of a YAML recipe; empty if there is none."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def yaml_descriptions(text: str, where: str) -> dict[str, str]:
    """Return the comments on the knobs of a YAML recipe by name.

    The comment of a knob is on the line of its default value, or else on the lines directly above.

    Raises:
        RecipeError: The text is not YAML.
    """
    top = parse_yaml(text, where).mapping("a recipe")
    if "knobs" not in top:
        return {}
    lines = text.splitlines()
    knobs = top["knobs"].mapping("knobs")
    places = top["knobs"].keys()
    found = {name: _comment(item) or _comment_above(places[name], lines) for name, item in knobs.items()}
    return {name: comment for name, comment in found.items() if comment}


def _comment(item: Item) -> str:
    """Return the comment behind a value on the same line."""
    behind = item.line_text[item.start :]
    if item.value is not None or not behind.lstrip().startswith("#"):  # an empty value starts at its comment
        behind = item.line_text[item.start + item.size :]
    comment = re.match(r"\s*#\s*(.*)", behind)
    return comment[1].strip() if comment else ""


def _comment_above(key: Item, lines: list[str]) -> str:
    """Return the comment lines directly above a key."""
    above: list[str] = []
    for line in reversed(lines[: key.line - 1]):
        if not line.lstrip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above).strip()
