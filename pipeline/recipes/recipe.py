"""Recipes: a Python function that returns a `Dag`, whose keyword arguments are its knobs; or YAML.

Knobs that several recipes share are the fields of a frozen dataclass, and an argument of that type stands
for all of them: `filters: Filters = Filters()`. A value of it as default gives the defaults.

The function bears the name of its file. A file that belongs to a package (`stages/recipes/curate.py`)
is imported as part of it; any other under its own name, its folder first on `sys.path`, as Python
does for a program. So workers can import the stages that a recipe defines.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_type_hints

from manifests.wording import listed, nearest
from pipeline.dag import Dag
from pipeline.errors import RecipeError
from pipeline.recipes.importing import Telling, module_at
from pipeline.recipes.values import Misfit, fit, from_word, is_plain, said
from pipeline.recipes.yaml_text import PACKAGES, from_yaml, knobs_in

_MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Knob:
    """One thing to turn. `kind` is its declared type; one without a `default` must be given.

    `within` is the argument of which it is a field, where it is no argument itself.
    """

    name: str
    kind: object
    default: Any = _MISSING
    doc: str = ""
    within: str = ""

    @property
    def required(self) -> bool:
        return self.default is _MISSING

    def read(self, value: object) -> Any:
        """The value of this knob from a word of a command, or from a value of Python.

        Raises:
            Misfit: it is of another type.
        """
        return from_word(value, self.kind) if isinstance(value, str) else fit(value, self.kind)

    def __str__(self) -> str:
        default = "" if self.required else f" (default {self.default!r})"
        return f"{self.name}: {self.doc or said(self.kind)}{default}"


@dataclass(frozen=True)
class Recipe:
    """A way to build a DAG. `build` takes every knob by name, already of its type."""

    name: str
    path: str
    doc: str
    knobs: tuple[Knob, ...]
    build: Callable[..., Any]

    def names(self) -> tuple[str, ...]:
        return tuple(knob.name for knob in self.knobs)


def load_recipe(path: str | Path, packages: tuple[str, ...] = PACKAGES) -> Recipe:
    """The recipe in a `.py` or `.yaml` file. YAML may name stages of `packages` only.

    Raises:
        RecipeError: the file is missing or wrong; it names the line where there is one.
    """
    file = Path(path)
    if not file.is_file():
        raise _no_file(file)
    if file.suffix in (".yaml", ".yml"):
        return _from_text(file, packages)
    if file.suffix != ".py":
        raise RecipeError("a recipe is a .py or a .yaml file", where=str(file))
    if not file.stem.isidentifier():
        hint = re.sub(r"\W", "_", file.stem)
        raise RecipeError(
            f"{file.name} holds no recipe: its function could not be named {file.stem!r}",
            where=str(file),
            remedy=f"rename the file, say to {hint}.py, and its function to {hint}",
        )
    return _from_module(module_at(file), file)


def turn(recipe: Recipe, knobs: Mapping[str, object]) -> Dag:
    """Build the DAG with these knobs: words of a command, or values of Python.

    Raises:
        RecipeError: a knob is unknown, missing or of another type, or the recipe breaks.
        ClipmillError: the DAG cannot work; where it was built stands under `where`.
    """
    for name in knobs:
        if name not in recipe.names():
            hint = nearest(name, recipe.names())
            raise RecipeError(
                f"recipe {recipe.name} has no knob {name!r}",
                where=recipe.path,
                remedy=(f"did you mean {hint!r}? " if hint else "") + f"its knobs: {listed(recipe.names())}",
            )
    lacking = [knob for knob in recipe.knobs if knob.required and knob.name not in knobs]
    if lacking:
        raise RecipeError(
            f"recipe {recipe.name} needs {', '.join(knob.name for knob in lacking)}",
            where=recipe.path,
            remedy=f"add {' '.join(f'{knob.name}=…' for knob in lacking)}; {'; '.join(map(str, lacking))}",
        )
    values = {}
    for knob in recipe.knobs:
        try:
            values[knob.name] = knob.read(knobs[knob.name]) if knob.name in knobs else knob.default
        except Misfit as misfit:
            raise RecipeError(f"knob {knob.name}: {misfit}", where=recipe.path, remedy=str(knob)) from None
    dag = recipe.build(**values)
    if not isinstance(dag, Dag):
        raise RecipeError(
            f"recipe {recipe.name} returned {type(dag).__name__}, not a Dag",
            where=recipe.path,
            remedy="end it with `return dag`",
        )
    return dag


def parse_knobs(words: Iterable[str]) -> dict[str, str]:
    """`["footage=DIR", "stillness=0.4"]` by name.

    Raises:
        RecipeError: a word is not `name=value`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise RecipeError(f"{word!r} is not a knob", remedy="write knobs as name=value, without spaces")
        if not name.isidentifier():
            hint = re.sub(r"\W", "_", name.strip("- "))
            remedy = f"write {hint}={value}" if hint.isidentifier() else "write knobs as name=value"
            raise RecipeError(f"{name!r} cannot be the name of a knob", remedy=remedy)
        if name in found:
            raise RecipeError(f"knob {name} is given twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def _from_text(file: Path, packages: tuple[str, ...]) -> Recipe:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"it is not UTF-8 text: {error.reason}", where=str(file)) from error
    found = knobs_in(text, str(file))
    knobs = tuple(
        Knob(name, str) if default is None else Knob(name, type(default), default)
        for name, default in found.items()
    )

    def build(**values: Any) -> Dag:
        return from_yaml(text, str(file), values, packages)

    return Recipe(file.stem, str(file), "", knobs, build)


def _from_module(module: ModuleType, file: Path) -> Recipe:
    function = getattr(module, file.stem, None)
    if not callable(function):
        known = [
            n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__
        ]
        raise RecipeError(
            f"{file.name} has no function named {file.stem!r}",
            where=str(file),
            remedy=f"name the recipe like its file; the functions there: {listed(known)}",
        )
    with Telling(file):
        hints = get_type_hints(function)
    doc = inspect.getdoc(function) or ""
    knobs = tuple(
        knob for p in inspect.signature(function).parameters.values() for knob in _knobs(p, hints, doc, file)
    )
    names = [knob.name for knob in knobs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise RecipeError(f"recipe {file.stem} has two knobs named {twice!r}", where=str(file))

    def build(**values: Any) -> Any:
        given: dict[str, Any] = {}
        for knob in knobs:
            if knob.within:
                given.setdefault(knob.within, {})[knob.name] = values[knob.name]
            else:
                given[knob.name] = values[knob.name]
        with Telling(file):
            for name in {knob.within for knob in knobs if knob.within}:
                given[name] = cast(Callable[..., Any], hints[name])(**given[name])
            return function(**given)

    return Recipe(file.stem, str(file), doc, knobs, build)


def _knobs(found: inspect.Parameter, hints: Mapping[str, object], doc: str, file: Path) -> Iterator[Knob]:
    """The knob that an argument is, or those that it stands for."""
    kind = hints.get(found.name)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        yield _knob(found, hints, doc, file)
        return
    with Telling(file):
        own = get_type_hints(kind)
    for name, field in inspect.signature(kind).parameters.items():
        default = field.default if found.default is _MISSING else getattr(found.default, name)
        knob = _knob(field.replace(default=default), own, inspect.getdoc(kind) or "", file)
        yield replace(knob, within=found.name)


def _knob(found: inspect.Parameter, hints: Mapping[str, object], doc: str, file: Path) -> Knob:
    if found.kind not in (found.KEYWORD_ONLY, found.POSITIONAL_OR_KEYWORD):
        what = f"recipe {file.stem} takes {found}, so its knobs have no names"
        raise RecipeError(
            what, where=str(file), remedy="name each knob: `footage: str, stillness: float = 0.4`"
        )
    if not is_plain(hints.get(found.name)):
        raise RecipeError(
            f"knob {found.name} of recipe {file.stem} has no type that words can be read as",
            where=f"{file}: {found}",
            remedy="declare it str, int, float, bool, a Literal, a tuple of these, or any of them | None",
        )
    line = re.search(rf"^( +){found.name}: (.+(?:\n\1 +\S.*)*)$", doc, re.MULTILINE)
    knob = Knob(found.name, hints[found.name], found.default, " ".join(line[2].split()) if line else "")
    if not knob.required:
        try:
            fit(knob.default, knob.kind)
        except Misfit as misfit:
            raise RecipeError(
                f"the default of knob {knob.name}: {misfit}", where=f"{file}: {found}"
            ) from None
    return knob


def _no_file(file: Path) -> RecipeError:
    if file.is_dir():
        return RecipeError("this is a folder; a recipe is a .py or a .yaml file", where=str(file))
    near = file.parent if file.parent.is_dir() else Path()
    known = sorted(
        p.name for p in near.iterdir() if p.suffix in (".py", ".yaml", ".yml") and p.name[0] != "_"
    )
    hint = nearest(file.name, known) if file.parent.is_dir() else ""
    return RecipeError(
        "there is no such recipe",
        where=str(file),
        remedy=f"did you mean {file.parent / hint}?" if hint else "name the path of a .py or a .yaml file",
    )
