"""Describes stages and recipes from their code, for `clipmill stages`, `clipmill recipes` and the docs."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from manifests.messages import closest_name, join_names
from manifests.row import Row
from pipeline.dag import snake_case
from pipeline.errors import RecipeError
from pipeline.recipes.descriptions import class_descriptions, summary
from pipeline.recipes.discovery import (
    CONTRACTS,
    find_stage,
    load_stages,
    recipe_files,
    setting_types,
    stage_purposes,
)
from pipeline.recipes.importing import import_recipe_module
from pipeline.recipes.recipe import Recipe, load_recipe
from pipeline.recipes.values import with_range
from pipeline.stage import Stage

PACKAGES = ("stages",)  # the packages whose stages are listed
RECIPES = "stages.recipes"  # the package whose recipes are listed
_ENGINE_COLUMNS = {"id": "id of the row", "parent": "id of the row that this row was made from"}

StageClass = type[Stage[Any, Any]]


@dataclass(frozen=True)
class StageEntry:
    """One stage of the list: class name, subject (its folder), full name for YAML, and purpose."""

    name: str
    subject: str
    full_name: str
    purpose: str


@dataclass(frozen=True)
class Setting:
    """A setting of a stage. `default` is None if the setting is required."""

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class ColumnInfo:
    """A column that a stage reads or adds.

    Attributes:
        name: Name of the column.
        type: Declared type.
        unit: Unit; empty for names, counts and flags.
        meaning: What the value says. For a column that is read, as the stage that adds it says.
        optional: Whether a table that is read may lack the column.
        added_by: Names of the stages that add the column.
    """

    name: str
    type: str
    unit: str
    meaning: str
    optional: bool
    added_by: tuple[str, ...]


@dataclass(frozen=True)
class StageInfo:
    """Everything that the code of a stage says about it.

    Attributes:
        adds_by_settings: Whether the settings decide about further columns, which are not in `adds`.
    """

    name: str
    full_name: str
    purpose: str
    kind: str
    version: int
    settings: tuple[Setting, ...]
    reads: tuple[ColumnInfo, ...]
    adds: tuple[ColumnInfo, ...]
    adds_by_settings: bool
    needs: dict[str, float]


def list_stages(packages: Iterable[str] = PACKAGES) -> list[StageEntry]:
    """Return all stages, sorted by subject and name. Imports none of them."""
    found = []
    for full_name, purpose in stage_purposes(tuple(packages)).items():
        module, _, name = full_name.partition(":")
        found.append(StageEntry(name, module.split(".")[-2], full_name, purpose))
    return sorted(found, key=lambda entry: (entry.subject, entry.name))


def describe_stages(name: str = "", packages: tuple[str, ...] = PACKAGES) -> list[StageInfo]:
    """Return the description of a stage, of all stages that a .py file defines, or of all stages.

    Args:
        name: Class name, the same in snake case, full name, or the path of a .py file; empty for all stages.
        packages: Packages whose stages are searched.

    Raises:
        RecipeError: There is no such stage, or the file defines none or cannot be imported.
    """
    if not name:
        loaded, authors = load_stages(packages), _authors(packages)
        return [_describe(loaded[entry.full_name], authors) for entry in list_stages(packages)]
    if name.endswith(".py"):
        found = _stages_of(import_recipe_module(Path(name)), name)
        authors = _authors(packages)
        return [_describe(stage, authors) for stage in found]
    class_names = {full.partition(":")[2] for full in stage_purposes(packages)}
    by_snake = {snake_case(class_name): class_name for class_name in class_names}
    if name in by_snake:
        name = by_snake[name]
    elif ":" not in name and name not in class_names:
        hint = closest_name(name, class_names) or by_snake.get(closest_name(name, by_snake), "")
        raise RecipeError(
            f"there is no stage {name!r}",
            remedy=f"did you mean {hint}?" if hint else "clipmill stages lists all stages",
        )
    return [_describe(find_stage(name, packages), _authors(packages))]


def _stages_of(module: ModuleType, file: str) -> list[StageClass]:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Stage) and value.__module__ == module.__name__
    ]
    found = [stage for stage in found if not inspect.isabstract(stage)]
    if not found:
        raise RecipeError("this file defines no stage", where=file, remedy="clipmill stages lists all stages")
    return found


def _describe(stage: StageClass, authors: dict[str, list[tuple[str, Any]]]) -> StageInfo:
    docs, types = class_descriptions(stage), get_type_hints(stage)
    declared = {f.name: f.default for f in fields(stage)}  # type: ignore[arg-type]
    settings = tuple(
        Setting(
            name,
            _type_text(types[name]),
            declared[name] is MISSING,
            None if declared[name] is MISSING else declared[name],
            with_range(docs.get(name, ""), value_type),
        )
        for name, value_type in setting_types(stage).items()
    )
    kind = next(base.__name__ for base in stage.__mro__ if base.__name__ in CONTRACTS)
    reads = () if kind == "Source" else tuple(_columns(stage.reads, authors))
    needs = {name: value for name, value in asdict(stage.needs).items() if value}
    return StageInfo(
        stage.__name__,
        f"{stage.__module__}:{stage.__name__}",
        summary(stage.__doc__),
        kind,
        stage.version,
        settings,
        reads,
        tuple(_columns(stage.adds, authors)),
        stage.added_columns is not Stage.added_columns,
        needs,
    )


def _authors(packages: tuple[str, ...]) -> dict[str, list[tuple[str, Any]]]:
    """Return the stages that add each column, with the metadata that they declare for it."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for stage in load_stages(packages).values():
        for column in stage.adds.columns():
            found.setdefault(column.name, []).append((stage.__name__, column.metadata))
    return found


def _columns(row: type[Row], authors: dict[str, list[tuple[str, Any]]]) -> Iterator[ColumnInfo]:
    for column in row.columns():
        is_engine_column = column.name in _ENGINE_COLUMNS and not column.metadata
        known = [] if is_engine_column else authors.get(column.name, [])
        metadata = column.metadata or (known[0][1] if known else {})
        meaning, unit = metadata.get("meaning", ""), metadata.get("unit", "")
        if is_engine_column:
            meaning = _ENGINE_COLUMNS[column.name]
        type_text = _type_text(row.types()[column.name])
        optional = column.default is not MISSING
        stages = tuple(stage for stage, _ in known)
        yield ColumnInfo(column.name, type_text, unit, meaning, optional, stages)


def _type_text(declared: object) -> str:
    """Return a declared type as it is written in Python, without module names."""
    text = declared.__name__ if isinstance(declared, type) and "[" not in str(declared) else str(declared)
    for prefix in ("typing.", "manifests.artifact.", "array."):
        text = text.replace(prefix, "")
    return re.sub(r"\barray\b", "Vector", text)


def list_recipes(package: str = RECIPES) -> list[tuple[str, Path, str]]:
    """Return name, file and purpose of all recipes in a package. Imports none of them."""
    return [(name, file, purpose) for name, (file, purpose) in recipe_files(package).items()]


def find_recipe(name: str, package: str = RECIPES) -> Recipe:
    """Load a recipe by its name in a package, or by the path of its file.

    Raises:
        RecipeError: There is no such recipe, or it is invalid.
    """
    known = recipe_files(package)
    if name in known:
        return load_recipe(known[name][0])
    if name.endswith((".py", ".yaml", ".yml")):
        return load_recipe(name)
    hint = closest_name(name, known)
    raise RecipeError(
        f"there is no recipe {name!r}",
        remedy=f"did you mean {hint}?"
        if hint
        else f"recipes: {join_names(known)}; or give the path of a file",
    )
