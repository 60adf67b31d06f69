"""The module of a recipe's file, imported so that workers can do the same; errors told with its line."""

import importlib
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from manifests.errors import ClipmillError
from manifests.wording import pointed
from pipeline.errors import RecipeError

_LINE = "\n" + " " * 10  # a further line under "  where:  "


class _Fresh(SourceFileLoader):
    """Compiles the file as it is now: bytecode kept from a second ago may be of an older text."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def module_at(file: Path) -> ModuleType:
    """The module of a recipe, under the name by which workers can import it as well."""
    full = file.resolve()
    root, name = full.parent, full.stem
    while (root / "__init__.py").is_file():
        root, name = root.parent, f"{root.name}.{name}"
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    with Telling(file):
        if "." in name:
            module = importlib.import_module(name)
            _check_home(module, full, file)
            return module
        if name in sys.modules:
            _check_home(sys.modules[name], full, file)
        spec = spec_from_file_location(name, full, loader=_Fresh(name, str(full)))
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


def _check_home(module: ModuleType, full: Path, file: Path) -> None:
    """A module of that name may stand only if it is this recipe, or an earlier one run by itself."""
    home = getattr(module, "__file__", None) or "Python itself"
    if home == str(full) or isinstance(getattr(module, "__loader__", None), _Fresh):
        return
    raise RecipeError(
        f"another module is named {module.__name__}, from {home}",
        where=str(file),
        remedy="rename the recipe, or run it with the environment that its package is installed in",
    )


class Telling:
    """Whatever breaks inside a recipe's file is told with the line of that file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SyntaxError) and error.lineno:
            shown = (error.text or "").rstrip("\n")
            size = max(1, (error.end_offset or 0) - (error.offset or 0))
            mark = _LINE + pointed(shown, max(0, (error.offset or 1) - 1), size) if shown else ""
            where = f"{error.filename}, line {error.lineno}{mark}"
            raise RecipeError(f"this is not Python: {error.msg}", where=where) from error
        if isinstance(error, RecipeError):
            return
        if isinstance(error, ClipmillError):
            here = _place(error, self.file)
            where = f"{error.where}{_LINE}in {here}" if error.where else here
            raise type(error)(error.what, where=where, remedy=error.remedy) from error
        if isinstance(error, Exception | SystemExit):
            raise RecipeError(
                f"recipe {self.file.stem} broke: {type(error).__name__}: {error}",
                where=_place(error, self.file),
                remedy="mend the recipe; --debug shows the whole way to the error",
            ) from error


def _place(error: BaseException, file: Path) -> str:
    """The innermost line of the recipe's own file on the way to an error."""
    full = file.resolve()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == full]
    if not frames:
        return str(file)
    return f"{file}, line {frames[-1].lineno}{_LINE}{frames[-1].line or ''}".rstrip()
