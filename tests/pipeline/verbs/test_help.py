"""The help of every verb: an example that parses, no line over 100 columns, and every knob of a recipe."""

import re
import shlex
from argparse import ArgumentParser
from importlib import import_module

import pytest

from pipeline.cli import VERBS, Parser, main
from pipeline.recipes.catalog import find_recipe, list_recipes
from pipeline.verbs.help_text import WIDTH, definition_lines, value_text

NESTED = [
    ("manifest", "show"),
    ("manifest", "check"),
    ("manifest", "diff"),
    ("evaluate", "tokenizer"),
    ("evaluate", "world"),
]
COMMANDS = [*((verb,) for verb in VERBS), *NESTED]
RECIPES = [name for name, _, _ in list_recipes()]


def printed_help(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", "300")
    assert main([*command, "--help"]) == 0
    return capsys.readouterr().out


def too_long(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > WIDTH]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_verb_prints_an_example_and_no_long_line(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed_help(command, monkeypatch, capsys)
    assert too_long(text) == []
    if command != ("manifest",):  # its own verbs have examples
        assert f"example:\n  clipmill {' '.join(command)} " in text


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != ("manifest",)], ids=" ".join)
def test_the_example_parses(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = printed_help(command, monkeypatch, capsys).partition("example:\n")[2].partition("\n\n")[0]
    commands = re.sub(r"\\\n", " ", example).splitlines()
    parser = Parser(prog="clipmill")
    verbs = parser.add_subparsers(dest="verb")
    module, function = VERBS[command[0]][0].split(":")
    getattr(import_module(module), function)(verbs)
    for line in commands:
        name, verb, *arguments = shlex.split(line.partition(" > ")[0])
        assert (name, verb) == ("clipmill", command[0])
        chosen: ArgumentParser = verbs.choices[verb]
        assert isinstance(chosen, Parser)
        chosen.parse_verb(arguments)


def test_the_verbs_fit_into_100_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert too_long(printed_help((), monkeypatch, capsys)) == []


@pytest.mark.parametrize("name", RECIPES)
def test_help_of_a_recipe_explains_every_knob(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = find_recipe(name)
    text = printed_help(("run", recipe.path), monkeypatch, capsys).replace(recipe.path, "PATH")
    assert too_long(text) == []
    printed = " ".join(text.partition(f"knobs of {name}:")[2].split())
    for knob in recipe.knobs:
        default = "" if knob.required else f"={value_text(knob.default)}"
        assert f" {knob.name}{default} {knob.description}" in f" {printed}"


def test_long_terms_have_their_text_below() -> None:
    lines = list(definition_lines([("a", "one two"), ("b" * 40, "three\nfour")], width=40))
    assert lines == [
        f"  {'a':30}one two",
        f"  {'b' * 40}",
        f"{'':32}three",
        f"{'':32}four",
    ]


def test_values_are_written_as_on_the_command_line() -> None:
    values = (None, True, 0.5, "text", ("a", 1), ())
    assert [value_text(value) for value in values] == ["none", "true", "0.5", "text", "a,1", ""]
