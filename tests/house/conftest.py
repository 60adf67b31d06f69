"""Fixtures of the project rules: every Python file with its text, syntax tree and imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("manifests", "pipeline", "stages", "training")
_IGNORED = {"__pycache__", "build", "demo"}


@dataclass(frozen=True)
class Import:
    """One import: the dotted name, its line, and whether it is for type checkers only."""

    name: str
    line: int
    top: bool  # executed when the file is imported
    typing: bool


@dataclass(frozen=True)
class File:
    """One Python file; `path` is relative to the root, with / between folders."""

    path: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package_init(self) -> bool:
        return self.path.endswith("__init__.py")

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree, top=True, typing=False))


def _imports(node: ast.AST, *, top: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(a.name, child.lineno, top, typing) for a in child.names)
        elif isinstance(child, ast.ImportFrom):
            dots = "." * child.level
            yield from (
                Import(f"{dots}{child.module}.{a.name}", child.lineno, top, typing) for a in child.names
            )
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _imports(child, top=top and not inside, typing=typing or checked)


def project_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in (".ci", ".gitignore")
        if hidden or path.name in _IGNORED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from project_files(path)
        else:
            yield path


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> tuple[File, ...]:
    """Every Python file of the repository: packages, tests and benchmarks."""
    return tuple(
        File(path.relative_to(ROOT).as_posix()) for path in project_files(ROOT) if path.suffix == ".py"
    )


@pytest.fixture(scope="session")
def ours(files: tuple[File, ...]) -> tuple[File, ...]:
    """The Python files of the four packages."""
    return tuple(file for file in files if file.path.split("/")[0] in OURS)


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """Every text file of the repository by path."""
    found = {}
    for path in project_files(ROOT):
        try:
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found
