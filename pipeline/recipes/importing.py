"""Imports the file of a recipe as a module that workers can import too; errors name its line."""

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from manifests.errors import ClipmillError
from manifests.messages import mark_position
from pipeline.errors import RecipeError
from pipeline.recipes.yaml_positions import Item

_LINE = "\n" + " " * 10  # a continuation line below "  where:  "


class _SourceLoader(SourceFileLoader):
    """Always compiles the source: bytecode can be outdated if the file changed within the last second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def import_recipe_module(file: Path) -> ModuleType:
    """Import a recipe under the module name that workers use to import it.

    Raises:
        RecipeError: The file cannot be imported, or another module has its name.
    """
    full = file.resolve()
    root = import_root(full)
    name = ".".join(full.relative_to(root).with_suffix("").parts)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    with located_errors(file):
        if "." in name:
            module = importlib.import_module(name)
            _check_origin(module, full, file)
            return module
        if name in sys.modules:
            _check_origin(sys.modules[name], full, file)
        spec = spec_from_file_location(name, full, loader=_SourceLoader(name, str(full)))
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


def import_root(file: Path) -> Path:
    """The folder from which a module is imported: the first one upwards that is no package."""
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def import_stage_modules(code: Item) -> list[str]:
    """Import modules of stages from the files that a YAML recipe names, and return the names of the modules.

    Raises:
        RecipeError: A file is missing, has another name than its module, or cannot be imported.
    """
    for name, item in code.mapping("code").items():
        file, parts = Path(item.read(str, f"the file of {name}")), tuple(name.split("."))
        if not file.is_absolute() or not _is_file_of(name, file):
            remedy = f"write an absolute path that ends with {'/'.join(parts)}.py"
            item.fail(f"{file} is not the file of the module {name}", remedy)
        if not file.is_file():
            item.fail(f"the file of the module {name} does not exist: {file}", "correct its path")
        root = str(file.parents[len(parts) - 1])
        if root not in sys.path:
            sys.path.insert(0, root)
        importlib.invalidate_caches()
        with located_errors(file):
            _check_origin(importlib.import_module(name), file.resolve(), file)
    return list(code.keys())


def module_files(names: Iterable[str]) -> dict[str, str]:
    """Return the files of loaded modules that `import_stage_modules` can import, by name."""
    files = {name: Path(getattr(sys.modules.get(name), "__file__", None) or "") for name in sorted(names)}
    return {name: str(file.absolute()) for name, file in files.items() if _is_file_of(name, file)}


def _is_file_of(module: str, file: Path) -> bool:
    parts = tuple(module.split("."))
    return file.suffix == ".py" and file.with_suffix("").parts[-len(parts) :] == parts


def _check_origin(module: ModuleType, full: Path, file: Path) -> None:
    """Check that a loaded module is from this file, or a recipe outside a package that may be replaced."""
    origin = getattr(module, "__file__", None) or "Python itself"
    if Path(origin).resolve() == full or isinstance(getattr(module, "__loader__", None), _SourceLoader):
        return
    raise RecipeError(
        f"another module is named {module.__name__}, from {origin}",
        where=str(file),
        remedy="rename the recipe, or run it in the environment where its package is installed",
    )


@contextmanager
def located_errors(file: Path) -> Iterator[None]:
    """Add the line of the recipe's file to every error raised inside the block.

    Raises:
        RecipeError: The block raised a `SyntaxError`, `SystemExit` or another exception.
        ClipmillError: The block raised this error; it keeps its type.
    """
    try:
        yield
    except ClipmillError as error:
        if isinstance(error, RecipeError) and error.where:
            raise
        line = _innermost_line(error, file)
        where = f"{error.where}{_LINE}in {line}" if error.where else line
        raise type(error)(error.what, where=where, remedy=error.remedy) from error
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError) and error.lineno:
            raise RecipeError(f"invalid Python: {error.msg}", where=_syntax_error_line(error)) from error
        raise RecipeError(
            f"recipe {file.stem} raised {type(error).__name__}: {error}",
            where=_innermost_line(error, file),
            remedy="fix the recipe; --debug prints the full traceback",
        ) from error


def _syntax_error_line(error: SyntaxError) -> str:
    line = (error.text or "").rstrip("\n")
    size = max(1, (error.end_offset or 0) - (error.offset or 0))
    pointer = _LINE + mark_position(line, max(0, (error.offset or 1) - 1), size) if line else ""
    return f"{error.filename}, line {error.lineno}{pointer}"


def _innermost_line(error: BaseException, file: Path) -> str:
    """Return the innermost line of the recipe's file in the traceback of an error."""
    full = file.resolve()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == full]
    if not frames:
        return str(file)
    return f"{file}, line {frames[-1].lineno}{_LINE}{frames[-1].line or ''}".rstrip()
