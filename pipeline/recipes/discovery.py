"""Stages found by name: from `ScanVideo` or `stages.scan.scan_video:ScanVideo` to the class.

A stage lives in a file named like it, so files are walked to find one, and only its own file is
imported. Names reach no other code than stages inside the packages that the caller allows.
"""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

from manifests.wording import listed, nearest
from pipeline.dag import snake
from pipeline.errors import RecipeError
from pipeline.stage import Stage

_KINDS = ("Source", "Annotate", "Chunked", "Expand", "Survey", "Compare", "Launch")


def stage_names(packages: Sequence[str]) -> tuple[str, ...]:
    """The full names of all stages in these packages, sorted. Imports none of them."""
    return tuple(sorted(name for package in packages for name in _names_in(package)))


def known_stages(packages: Sequence[str]) -> dict[str, type[Stage[Any, Any]]]:
    """All stages in these packages by full name; their files are imported.

    Raises:
        RecipeError: a file cannot be imported.
    """
    return {name: stage_at(name, packages) for name in stage_names(packages)}


def stage_at(name: str, packages: Sequence[str]) -> type[Stage[Any, Any]]:
    """The stage with a full name, or with a class name that only one stage bears.

    Raises:
        RecipeError: there is none, or several, or it lies outside the packages.
    """
    module, _, kind = _full(name, packages).partition(":")
    try:
        found = getattr(import_module(module), kind, None)
    except ImportError as error:
        raise RecipeError(f"stage {name} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)) or inspect.isabstract(found):
        raise _unknown(name, packages)
    return found


def settings_of(kind: type[Stage[Any, Any]]) -> Mapping[str, object]:
    """The declared type of each setting, in order."""
    hints = _hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]


def required_of(kind: type[Stage[Any, Any]]) -> tuple[str, ...]:
    """The settings without a default."""
    every = fields(kind)  # type: ignore[arg-type]
    return tuple(f.name for f in every if f.default is MISSING and f.default_factory is MISSING)


@cache
def _hints(kind: type[Stage[Any, Any]]) -> dict[str, object]:
    return get_type_hints(kind)


def _full(name: str, packages: Sequence[str]) -> str:
    module, colon, kind = name.partition(":")
    if not colon:
        fits = [full for full in stage_names(packages) if full.endswith(f":{name}")]
        if len(fits) > 1:
            raise RecipeError(f"{name} may be any of {listed(fits)}", remedy="write the one you mean in full")
        if not fits:
            raise _unknown(name, packages)
        return fits[0]
    if not all(part.isidentifier() for part in (*module.split("."), kind)):
        raise _unknown(name, packages)
    if not any(module == package or module.startswith(f"{package}.") for package in packages):
        raise RecipeError(
            f"stage {name} lies outside {listed(packages)}, and YAML may name no other code",
            remedy="put the stage there, or write the recipe in Python",
        )
    return name


def _unknown(name: str, packages: Sequence[str]) -> RecipeError:
    known = stage_names(packages)
    short = {full.partition(":")[2]: full for full in known}
    hint = short.get(nearest(name.rpartition(":")[2], short)) or nearest(name, known)
    return RecipeError(
        f"there is no stage {name}",
        remedy=f"did you mean {hint}?" if hint else f"the stages: {listed(sorted(short), 40)}",
    )


def _names_in(package: str) -> list[str]:
    spec = find_spec(package)
    found = []
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            inside = ".".join(file.relative_to(folder).with_suffix("").parts)
            found += [f"{package}.{inside}:{kind}" for kind in _stages_in(file)]
    if spec and spec.origin and not spec.submodule_search_locations:
        found += [f"{package}:{kind}" for kind in _stages_in(Path(spec.origin), any_name=True)]
    return found


def _stages_in(file: Path, any_name: bool = False) -> list[str]:
    """The classes of a file that are written as a kind of stage and bear the file's name."""
    text = file.read_text(encoding="utf-8")
    if not any(f"{kind}[" in text for kind in _KINDS):
        return []
    try:
        classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    except SyntaxError:
        return []
    return [
        node.name
        for node in classes
        if (any_name or snake(node.name) == file.stem)
        and any(ast.unparse(base).partition("[")[0] in _KINDS for base in node.bases)
    ]
