"""Finds stage classes by name: `ScanVideo` or `stages.scan.scan_video:ScanVideo`.

The file of a stage has the stage's name in snake case. Discovery parses the files of a package without
importing them, and imports only the file of the stage that it returns. A name can only reach stages inside
the packages that the caller allows; no other code is imported.
"""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

from manifests.messages import closest_name, join_names
from pipeline.dag import snake_case
from pipeline.errors import RecipeError
from pipeline.recipes.descriptions import summary
from pipeline.stage import Stage

CONTRACTS = ("Source", "Annotate", "AnnotateGroups", "Chunked", "Expand", "Survey", "Compare", "Launch")


def stage_names(packages: Sequence[str]) -> tuple[str, ...]:
    """Return the sorted full names of all stages in these packages, without importing them."""
    return tuple(stage_purposes(packages))


def stage_purposes(packages: Sequence[str]) -> dict[str, str]:
    """Return the first docstring line of every stage in these packages by full name, without importing it."""
    return dict(sorted(item for package in packages for item in _purposes_in(package).items()))


def recipe_files(package: str) -> dict[str, tuple[Path, str]]:
    """Return the file and the first docstring line of each recipe in a package by name, without importing it.

    A recipe is a function that has the name of its file and is annotated to return a `Dag`.
    """
    spec = find_spec(package)
    found = {}
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            for node in _parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name == file.stem and _returns_dag(node):
                    found[node.name] = file, summary(ast.get_docstring(node))
    return found


def load_stages(packages: Sequence[str]) -> dict[str, type[Stage[Any, Any]]]:
    """Import all stages in these packages and return them by full name.

    Raises:
        RecipeError: A file cannot be imported.
    """
    return {name: find_stage(name, packages) for name in stage_names(packages)}


def find_stage(name: str, packages: Sequence[str]) -> type[Stage[Any, Any]]:
    """Return the stage class with a full name, or with a class name that is unique in the packages.

    Raises:
        RecipeError: No stage has this name, several have it, or it is outside the packages.
    """
    module, _, class_name = _full_name(name, packages).partition(":")
    try:
        found = getattr(import_module(module), class_name, None)
    except ImportError as error:
        raise RecipeError(f"stage {name} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)) or inspect.isabstract(found):
        raise _unknown_stage(name, packages)
    return found


def setting_types(stage_class: type[Stage[Any, Any]]) -> Mapping[str, object]:
    """Return the declared type of each setting with its range, in the order of declaration."""
    hints = _type_hints(stage_class)
    return {f.name: hints[f.name] for f in fields(stage_class)}  # type: ignore[arg-type]


def required_settings(stage_class: type[Stage[Any, Any]]) -> tuple[str, ...]:
    """Return the names of the settings without a default."""
    settings = fields(stage_class)  # type: ignore[arg-type]
    return tuple(f.name for f in settings if f.default is MISSING and f.default_factory is MISSING)


@cache
def _type_hints(stage_class: type[Stage[Any, Any]]) -> dict[str, object]:
    return get_type_hints(stage_class, include_extras=True)


def _full_name(name: str, packages: Sequence[str]) -> str:
    module, colon, class_name = name.partition(":")
    if not colon:
        matches = [full for full in stage_names(packages) if full.endswith(f":{name}")]
        if len(matches) > 1:
            raise RecipeError(
                f"the stage name {name} is ambiguous: {join_names(matches)}", remedy="write the full name"
            )
        if not matches:
            raise _unknown_stage(name, packages)
        return matches[0]
    if not all(part.isidentifier() for part in (*module.split("."), class_name)):
        raise _unknown_stage(name, packages)
    if not any(module == package or module.startswith(f"{package}.") for package in packages):
        raise RecipeError(
            f"stage {name} is outside {join_names(packages)}; YAML can name stages of these packages only",
            remedy="move the stage into one of them, write the recipe in Python, or name its file: "
            f"code: {{{module}: /path/to/{module.replace('.', '/')}.py}}",
        )
    return name


def _unknown_stage(name: str, packages: Sequence[str]) -> RecipeError:
    known = stage_names(packages)
    by_class_name = {full.partition(":")[2]: full for full in known}
    class_name = closest_name(name.rpartition(":")[2], by_class_name)
    hint = by_class_name.get(class_name) or closest_name(name, known)
    available = join_names(sorted(by_class_name), 40)
    return RecipeError(
        f"there is no stage {name}",
        remedy=f"did you mean {hint}?" if hint else f"available stages: {available}",
    )


def _purposes_in(package: str) -> dict[str, str]:
    spec = find_spec(package)
    found: dict[str, str] = {}
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            module = ".".join(file.relative_to(folder).with_suffix("").parts)
            found |= {f"{package}.{module}:{name}": purpose for name, purpose in _stages_in(file).items()}
    if spec and spec.origin and not spec.submodule_search_locations:
        stages = _stages_in(Path(spec.origin), any_name=True)
        found |= {f"{package}:{name}": purpose for name, purpose in stages.items()}
    return found


def _returns_dag(function: ast.FunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns).rpartition(".")[2] == "Dag"


def _stages_in(file: Path, any_name: bool = False) -> dict[str, str]:
    """Return the first docstring line of each stage class in a file by class name.

    A class must match the name of the file, unless `any_name` is set.
    """
    stages = _classes_in(file.read_text(encoding="utf-8"))
    return {name: purpose for name, purpose in stages if any_name or snake_case(name) == file.stem}


@lru_cache(maxsize=1024)
def _classes_in(text: str) -> tuple[tuple[str, str], ...]:
    """Return the name and the first docstring line of each stage class in a source text."""
    if not any(f"{contract}[" in text for contract in CONTRACTS):
        return ()
    return tuple(
        (node.name, summary(ast.get_docstring(node)))
        for node in _parse(text).body
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).partition("[")[0] in CONTRACTS for base in node.bases)
    )


def _parse(text: str) -> ast.Module:
    """Return the syntax tree of a source text; an empty one if the text is not valid Python."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
