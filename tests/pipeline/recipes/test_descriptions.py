"""Descriptions of knobs and settings, read from docstrings and from comments in YAML."""

import pytest

from pipeline.recipes.descriptions import (
    class_descriptions,
    descriptions,
    summary,
    yaml_descriptions,
    yaml_summary,
)
from pipeline.recipes.json_schema import json_schema

DOC = """What it does.

    Text with a colon: not an entry.

    Attributes:
        first: One line.
        second (int): Two
            lines: with a colon.

        third: After an empty line.
    Args:
        fourth: Of another section.

    Returns:
        fifth: Not an argument.
    """


def test_entries_of_the_sections_are_read() -> None:
    assert descriptions(DOC) == {
        "first": "One line.",
        "second": "Two lines: with a colon.",
        "third": "After an empty line.",
        "fourth": "Of another section.",
    }
    assert summary(DOC) == "What it does."
    assert descriptions(None) == {}
    assert summary(None) == ""


def test_a_class_adds_to_the_descriptions_of_its_bases() -> None:
    class Base:
        """A.

        Attributes:
            one: Base.
            two: Base.
        """

    class Derived(Base):
        """B.

        Attributes:
            two: Derived.
        """

    assert class_descriptions(Derived) == {"one": "Base.", "two": "Derived."}


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        ("a: 1  # One.", "One."),
        ("a:  # Empty.", "Empty."),
        ("a: null # Null.", "Null."),
        ('a: "x # y"  # Quoted.', "Quoted."),
        ("a: x#y", ""),
        ("a: true", ""),
    ],
)
def test_the_comment_behind_a_yaml_value_is_read(line: str, comment: str) -> None:
    text = f"dag: d\nknobs:\n  {line}\nsteps: {{}}\n"
    assert yaml_descriptions(text, "d.yaml") == ({"a": comment} if comment else {})


def test_a_flow_mapping_has_no_comments_and_a_head_comment_is_the_summary() -> None:
    assert yaml_descriptions("dag: d\nknobs: {a: 1}  # All.\nsteps: {}\n", "d.yaml") == {}
    assert yaml_descriptions("dag: d\nsteps: {}\n", "d.yaml") == {}
    assert yaml_summary("# What it does.\ndag: d\n") == "What it does."
    assert yaml_summary("dag: d  # no\n") == ""


def test_the_json_schema_describes_every_setting_and_every_need() -> None:
    steps = json_schema()["$defs"]["step"]["else"]["allOf"]
    keys = [step["then"]["properties"] for step in steps]
    assert len(keys) > 30
    for step in keys:
        assert step["stage"]["description"].endswith(".")
        settings = {**step["with"]["properties"], **step["needs"]["properties"]}
        assert [name for name, schema in settings.items() if not schema.get("description")] == []
