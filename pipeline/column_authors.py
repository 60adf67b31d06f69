"""Finds the stage that adds a column, for errors about missing columns. Files are parsed, not imported."""

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifests.messages import closest_name, join_names
from pipeline.stage import Compare, Expand, Launch, Source, Stage, Survey

_PACKAGE = "stages"
_METHODS = {"Expand": "expand", "Survey": "survey", "Compare": "survey", "Launch": "launch", "Source": "read"}
_Classes = dict[str, dict[Path, tuple[list[str], list[str]]]]  # bases and columns by name and file
_KINDS = (Expand, Survey, Compare, Launch, Source)


def missing_column_remedy(name: str, available: Collection[str]) -> str:
    """What to do about a column that no earlier step adds: a stage that adds it, or a name like it."""
    authors = {**_loaded_authors(), **_authors_in_package()}
    if name in authors:
        return f"{name} is added by {_call(authors[name])} before this step"
    near = closest_name(name, [*available, *(column for column in authors if column not in available)])
    if near in available:
        return f"did you mean {near!r}?"
    if near:
        return f"did you mean {near!r}? It is added by {_call(authors[near])} before this step"
    return f"add a stage that adds it; the columns here: {join_names(available)}"


def _call(author: tuple[str, str]) -> str:
    stage, method = author
    return f"{stage}: put .{method}({stage}(…))"


def _loaded_authors() -> dict[str, tuple[str, str]]:
    """The columns of the stages that this process has imported, also of own stages."""
    found: dict[str, tuple[str, str]] = {}
    pending: list[type[Stage[Any, Any]]] = list(Stage.__subclasses__())
    while pending:
        stage = pending.pop()
        pending += stage.__subclasses__()
        if "adds" in vars(stage) and not stage.__module__.startswith("pipeline."):
            kind = next((kind.__name__ for kind in _KINDS if issubclass(stage, kind)), "")
            for name in stage.adds.names():
                found.setdefault(name, (stage.__name__, _METHODS.get(kind, "annotate")))
    return found


@cache
def _authors_in_package() -> Mapping[str, tuple[str, str]]:
    """The columns of all stages of the package: each with the name of its stage and the method to add it."""
    rows: _Classes = {}
    stages: list[tuple[Path, str, str, str]] = []  # file, stage, contract, row that it adds
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            for node in _classes(file):
                columns = [
                    inner.target.id
                    for inner in node.body
                    if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name)
                ]
                rows.setdefault(node.name, {})[file] = [ast.unparse(base) for base in node.bases], columns
                if node.name.lower() == file.stem.replace("_", ""):
                    stages += [(file, node.name, *contract) for contract in _contracts(node)]
    found: dict[str, tuple[str, str]] = {}
    for file, stage, contract, row in stages:
        for column in _columns(file, row, rows):
            found.setdefault(column, (stage, _METHODS.get(contract, "annotate")))
    return found


def _classes(file: Path) -> Iterator[ast.ClassDef]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError:
        return
    yield from (node for node in tree.body if isinstance(node, ast.ClassDef))


def _contracts(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The contracts of a stage class, each with the name of the row that it adds: `Annotate[In, Out]`."""
    for base in node.bases:
        if isinstance(base, ast.Subscript):
            arguments = base.slice.elts if isinstance(base.slice, ast.Tuple) else [base.slice]
            rows = [argument.id for argument in arguments[:2] if isinstance(argument, ast.Name)]
            if rows:
                yield ast.unparse(base.value), rows[-1]


def _columns(file: Path, row: str, rows: _Classes) -> Iterator[str]:
    """The columns of a row type, which is in this file or is imported into it."""
    places = rows.get(row, {})
    place = file if file in places else next(iter(places), file)
    bases, columns = places.get(place, ([], []))
    yield from columns
    for base in bases:
        yield from _columns(place, base, rows)
