"""Loads recipes (Python functions that return a `Dag`, or YAML files) and builds their DAGs from knobs.

The keyword arguments of the function are the knobs of the recipe. Recipes share knobs through a frozen
dataclass: an argument of that type, such as `filters: Filters = Filters()`, adds every field of the dataclass
as a knob. The default value of the argument gives the defaults of these knobs.

The function has the name of its file. A file inside a package (`stages/recipes/curate.py`) is imported as
part of the package. Any other file is imported under its own name with its folder first on `sys.path`, as
Python does for a script. Workers can therefore import the stages that a recipe defines.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_type_hints

from manifests.messages import closest_name, join_names
from pipeline.dag import Dag
from pipeline.errors import RecipeError
from pipeline.recipes.descriptions import class_descriptions, descriptions, yaml_descriptions, yaml_summary
from pipeline.recipes.importing import import_recipe_module, located_errors
from pipeline.recipes.values import (
    ValueMismatch,
    convert_value,
    is_plain,
    parse_value,
    type_name,
    type_schema,
    with_range,
)
from pipeline.recipes.yaml_text import PACKAGES, from_yaml, read_knobs

_MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Knob:
    """A parameter of a recipe that the user can set.

    Attributes:
        name: The name of the knob.
        value_type: The declared type.
        default: The default value. A knob without a default is required.
        doc: The line of the docstring, or the comment in YAML, that describes the knob. May be empty.
        argument: The function argument whose dataclass has this knob as a field; empty for other knobs.
    """

    name: str
    value_type: object
    default: Any = _MISSING
    doc: str = ""
    argument: str = ""

    @property
    def required(self) -> bool:
        return self.default is _MISSING

    @property
    def description(self) -> str:
        """The line that `--help` prints. Never empty: without `doc`, it names the type."""
        missing = f"No description; the value is {type_name(self.value_type)}."
        return with_range(self.doc, self.value_type) or missing

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value, with its description and default."""
        default = {} if self.required else {"default": self.default}
        either = {"anyOf": [type_schema(self.value_type), {"type": "null"}]}  # null in YAML: required
        return {"description": self.description, **default, **either}

    def read(self, value: object) -> Any:
        """Convert command-line text or a Python value to the type of this knob.

        Raises:
            ValueMismatch: The value has another type, or is out of range.
        """
        if isinstance(value, str):
            return parse_value(value, self.value_type)
        return convert_value(value, self.value_type)

    def __str__(self) -> str:
        default = "" if self.required else f" (default {self.default!r})"
        return f"{self.name}{default}: {self.description}"


@dataclass(frozen=True)
class Recipe:
    """A function that builds a DAG. `build` takes every knob by name, with its declared type."""

    name: str
    path: str
    doc: str
    knobs: tuple[Knob, ...]
    build: Callable[..., Any]

    def knob_names(self) -> tuple[str, ...]:
        return tuple(knob.name for knob in self.knobs)


def load_recipe(path: str | Path, packages: tuple[str, ...] = PACKAGES) -> Recipe:
    """Load the recipe in a `.py` or `.yaml` file. YAML can name stages of `packages` only.

    Raises:
        RecipeError: The file is missing or invalid. The error names the line if there is one.
    """
    file = Path(path)
    if not file.is_file():
        raise _missing_file(file)
    if file.suffix in (".yaml", ".yml"):
        return _load_yaml(file, packages)
    if file.suffix != ".py":
        raise RecipeError("a recipe must be a .py or .yaml file", where=str(file))
    if not file.stem.isidentifier():
        hint = re.sub(r"\W", "_", file.stem)
        raise RecipeError(
            f"{file.name} cannot be a recipe: {file.stem!r} is not a valid name for its function",
            where=str(file),
            remedy=f"rename the file, for example to {hint}.py, and its function to {hint}",
        )
    return _load_module(import_recipe_module(file), file)


def build_dag(recipe: Recipe, knobs: Mapping[str, object]) -> Dag:
    """Build the DAG of a recipe from knob values: command-line text or Python values.

    Raises:
        RecipeError: A knob is unknown, missing or has a wrong value, or the recipe raised an exception.
        ClipmillError: The DAG is invalid. `where` names the line of the recipe.
    """
    known = recipe.knob_names()
    for name in knobs:
        if name not in known:
            hint = closest_name(name, known)
            raise RecipeError(
                f"recipe {recipe.name} has no knob {name!r}",
                where=recipe.path,
                remedy=f"did you mean {hint!r}?" if hint else f"available knobs: {join_names(known)}",
            )
    missing = [knob for knob in recipe.knobs if knob.required and knob.name not in knobs]
    if missing:
        raise RecipeError(
            f"recipe {recipe.name} requires {', '.join(knob.name for knob in missing)}",
            where=recipe.path,
            remedy=f"add {' '.join(f'{knob.name}=…' for knob in missing)}; {'; '.join(map(str, missing))}",
        )
    values = {}
    for knob in recipe.knobs:
        try:
            values[knob.name] = knob.read(knobs[knob.name]) if knob.name in knobs else knob.default
        except ValueMismatch as mismatch:
            raise RecipeError(f"knob {knob.name}: {mismatch}", where=recipe.path, remedy=str(knob)) from None
    dag = recipe.build(**values)
    if not isinstance(dag, Dag):
        raise RecipeError(
            f"recipe {recipe.name} returned {type(dag).__name__}, not a Dag",
            where=recipe.path,
            remedy="end it with `return dag`",
        )
    return dag


def parse_knobs(assignments: Iterable[str]) -> dict[str, str]:
    """Parse `["footage=DIR", "min_motion=0.4"]` into a mapping from knob names to text.

    Raises:
        RecipeError: An assignment is not `name=value`, or sets a knob a second time.
    """
    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise RecipeError(
                f"{assignment!r} is not a knob", remedy="write knobs as name=value, without spaces"
            )
        if not name.isidentifier():
            hint = re.sub(r"\W", "_", name.strip("- "))
            remedy = f"write {hint}={value}" if hint.isidentifier() else "write knobs as name=value"
            raise RecipeError(f"{name!r} cannot be the name of a knob", remedy=remedy)
        if name in found:
            raise RecipeError(f"knob {name} is set twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def _load_yaml(file: Path, packages: tuple[str, ...]) -> Recipe:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"the file is not UTF-8 text: {error.reason}", where=str(file)) from error
    found = read_knobs(text, str(file))
    docs = yaml_descriptions(text, str(file))
    knobs = tuple(
        Knob(name, str, doc=docs.get(name, ""))
        if default is None
        else Knob(name, type(default), default, docs.get(name, ""))
        for name, default in found.items()
    )

    def build(**values: Any) -> Dag:
        return from_yaml(text, str(file), values, packages)

    return Recipe(file.stem, str(file), yaml_summary(text), knobs, build)


def _load_module(module: ModuleType, file: Path) -> Recipe:
    function = getattr(module, file.stem, None)
    if not callable(function):
        functions = inspect.getmembers(module, inspect.isfunction)
        known = [n for n, f in functions if f.__module__ == module.__name__ and n[0] != "_"]
        raise RecipeError(
            f"{file.name} has no function named {file.stem!r}",
            where=str(file),
            remedy=f"give the function the name of its file; functions in the file: {join_names(known)}",
        )
    with located_errors(file):
        hints = get_type_hints(function, include_extras=True)
    doc = inspect.getdoc(function) or ""
    docs = descriptions(doc)
    knobs = tuple(
        knob
        for p in inspect.signature(function).parameters.values()
        for knob in _knobs_of(p, hints, docs, file)
    )
    names = [knob.name for knob in knobs]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise RecipeError(f"recipe {file.stem} has two knobs named {repeated!r}", where=str(file))

    def build(**values: Any) -> Any:
        arguments: dict[str, Any] = {}
        for knob in knobs:
            if knob.argument:
                arguments.setdefault(knob.argument, {})[knob.name] = values[knob.name]
            else:
                arguments[knob.name] = values[knob.name]
        with located_errors(file):
            for name in {knob.argument for knob in knobs if knob.argument}:
                arguments[name] = cast(Callable[..., Any], hints[name])(**arguments[name])
            return function(**arguments)

    return Recipe(file.stem, str(file), doc, knobs, build)


def _knobs_of(
    argument: inspect.Parameter, hints: Mapping[str, object], docs: Mapping[str, str], file: Path
) -> Iterator[Knob]:
    """Yield one knob for a plain argument, or one knob per field for a dataclass argument."""
    group = hints.get(argument.name)
    if not (isinstance(group, type) and is_dataclass(group)):
        yield _knob(argument, hints, docs, file)
        return
    with located_errors(file):
        field_hints = get_type_hints(group, include_extras=True)
    field_docs = class_descriptions(group)
    for name, field in inspect.signature(group).parameters.items():
        default = field.default if argument.default is _MISSING else getattr(argument.default, name)
        knob = _knob(field.replace(default=default), field_hints, field_docs, file)
        yield replace(knob, argument=argument.name)


def _knob(
    parameter: inspect.Parameter, hints: Mapping[str, object], docs: Mapping[str, str], file: Path
) -> Knob:
    if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        what = f"recipe {file.stem} takes {parameter}, but a knob needs a name"
        raise RecipeError(
            what, where=str(file), remedy="name each knob: `footage: str, stillness: float = 0.4`"
        )
    if not is_plain(hints.get(parameter.name)):
        raise RecipeError(
            f"knob {parameter.name} of recipe {file.stem} has no type that can be read from the command line",
            where=f"{file}: {parameter}",
            remedy="declare it str, int, float, bool, a Literal, a tuple of these, or any of them | None",
        )
    knob = Knob(parameter.name, hints[parameter.name], parameter.default, docs.get(parameter.name, ""))
    if not knob.required:
        try:
            convert_value(knob.default, knob.value_type)
        except ValueMismatch as mismatch:
            raise RecipeError(
                f"the default of knob {knob.name}: {mismatch}", where=f"{file}: {parameter}"
            ) from None
    return knob


def _missing_file(file: Path) -> RecipeError:
    if file.is_dir():
        return RecipeError("this is a folder, but a recipe is a .py or .yaml file", where=str(file))
    near = file.parent if file.parent.is_dir() else Path()
    known = sorted(
        p.name for p in near.iterdir() if p.suffix in (".py", ".yaml", ".yml") and p.name[0] != "_"
    )
    hint = closest_name(file.name, known) if file.parent.is_dir() else ""
    return RecipeError(
        "the recipe file does not exist",
        where=str(file),
        remedy=f"did you mean {file.parent / hint}?" if hint else "`clipmill recipes` lists paths of recipes",
    )
