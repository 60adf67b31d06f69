"""A digest of the code of a stage, which tells that the code changed although `version` did not.

The digest covers the class and all that it uses (functions, classes, constants) from its own file and from
files in its folder and below. Comments, docstrings, formatting, annotations and the defaults of settings do
not count, nor do `needs`, `version` and the meanings of columns. The files are parsed, not imported.
"""

import ast
import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from pipeline.recipes.discovery import CONTRACTS
from pipeline.stage import Stage

_NOT_CODE = {"needs", "version", "execution_settings", "secret_settings"}
_DECLARING = {"Row", *CONTRACTS}  # bases of classes whose fields are columns or settings
_NO_FIELDS = {"ctx", "kind", "type_comment", "type_params", "annotation"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class _Definition:
    """A statement of a module: an import (`imports` only), or the definition of a name.

    Attributes:
        digest: Digest of the code.
        names: The names that it uses.
        imports: The imported modules or names, as (module, name or "", levels, local name).
    """

    digest: str
    names: frozenset[str]
    imports: tuple[tuple[str, str, int, str], ...]


def code_digest(stage_class: type[Stage[Any, Any]]) -> str:
    """Return the digest of the code of a stage; "" if its source is not available."""
    try:
        file = Path(inspect.getfile(stage_class)).resolve()
    except (OSError, TypeError):
        return ""
    module = stage_class.__module__
    walk = _Walk(file.parent, file.parents[module.count(".")])
    walk.visit(file, module, stage_class.__qualname__.partition(".")[0])
    found = sorted(f"{place} {digest}" for place, digest in walk.found.items() if digest)
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""


class _Walk:
    """Collects the digests of all definitions that a name needs.

    Attributes:
        folder: Only files in this folder are followed.
        root: The folder in which the names of modules begin.
        found: The digest of each definition, by file and name; "" for a name that the file does not define.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.found: dict[str, str] = {}
        self._files: dict[str, Path | None] = {}

    def visit(self, file: Path, module: str, name: str) -> None:
        """Follow a name of a file."""
        place = f"{file.relative_to(self.folder)}:{name}"
        if place in self.found:
            return
        definitions = _definitions_in(file).get(name, ())
        self.found[place] = " ".join(each.digest for each in definitions if each.digest)
        for each in definitions:
            for used in each.names:
                self.visit(file, module, used)
            for source, imported, level, local in each.imports:
                if each.digest or local == name:
                    self._follow(source, imported, level, module)

    def _follow(self, source: str, imported: str, level: int, module: str) -> None:
        """Follow an import into its file, if that is in the folder."""
        if level:
            source = resolve_name("." * level + source, module.rpartition(".")[0])
        inner = f"{source}.{imported}" if imported else source
        if file := self._file(inner):
            for name in _definitions_in(file):  # a module: it is unknown which of its names are used
                self.visit(file, inner, name)
        elif imported and (file := self._file(source)):
            self.visit(file, source, imported)

    def _file(self, module: str) -> Path | None:
        """The file of a module in the folder; None for other modules."""
        if module not in self._files:
            place = self.root.joinpath(*module.split("."))
            files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
            inside = (file for file in files if file.is_relative_to(self.folder) and file.is_file())
            self._files[module] = next(inside, None)
        return self._files[module]


def _definitions_in(file: Path) -> Mapping[str, Sequence[_Definition]]:
    try:
        return _definitions(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}


@lru_cache(maxsize=1024)
def _definitions(text: str) -> Mapping[str, Sequence[_Definition]]:
    """What defines each name at the top level of a source text."""
    names: dict[str, list[_Definition]] = {}
    for node in _top_level(ast.parse(text).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = _Definition("", frozenset(), tuple(_imports(node)))
        else:
            _strip(node)
            inner = list(ast.walk(node))
            found = _Definition(
                hashlib.sha256(_text(node).encode()).hexdigest(),
                frozenset(n.id for n in inner if isinstance(n, ast.Name)),
                tuple(i for n in inner if isinstance(n, ast.Import | ast.ImportFrom) for i in _imports(n)),
            )
        for name in _defined_names(node):
            names.setdefault(name, []).append(found)
    return names


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, int, str]]:
    for alias in node.names:
        local = alias.asname or alias.name
        if isinstance(node, ast.Import):
            yield alias.name, "", 0, local
        else:
            yield node.module or "", alias.name, node.level, local


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those inside `if` and `try`."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            for inner in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, inner, []))
        else:
            yield node


def _defined_names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (local for *_, local in _imports(node))
    else:
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _strip(tree: ast.AST) -> None:
    """Remove docstrings, annotations, and the fields of stages and rows."""
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            node.body = node.body[1:] if node.body and _is_docstring(node.body[0]) else node.body
        if isinstance(node, ast.ClassDef):
            declares = any(ast.unparse(base).partition("[")[0] in _DECLARING for base in node.bases)
            node.body = [inner for inner in node.body if not (declares and _is_declaration(inner))]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None


def _text(node: ast.AST) -> str:
    """A node as text, equal for equal code in all versions of Python."""
    fields = []
    for name, value in ast.iter_fields(node):
        if name not in _NO_FIELDS and value is not None and value != []:
            values = value if isinstance(value, list) else [value]
            shown = [_text(v) if isinstance(v, ast.AST) else repr(v) for v in values]
            fields.append(f"{name}=[{', '.join(shown)}]")
    return f"{type(node).__name__}({', '.join(fields)})"


def _is_docstring(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_declaration(node: ast.stmt) -> bool:
    """Whether a statement of a class is a column or a setting, which the key has, or changes no result."""
    if isinstance(node, ast.AnnAssign):
        return True
    return isinstance(node, ast.Assign) and {*_defined_names(node)} <= _NOT_CODE
