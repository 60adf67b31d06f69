"""Collects what a job needs in one folder: the packages, the recipe, its own stages and included files."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path

import yaml

from pipeline.errors import RecipeError
from pipeline.executors.on_ray.cluster import PACKAGES, package_folders
from pipeline.recipes.importing import import_root

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")


def fill_working_folder(folder: Path, recipe: str, include: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Copy everything that a recipe needs into a folder.

    The modules that a recipe or a stage imports are found in its code, also imports inside functions, as long
    as they are beside the recipe.

    Returns:
        The path of the recipe in the folder, and the paths there of the modules that a YAML recipe names.

    Raises:
        RecipeError: a path in `include` does not exist.
    """
    for package in package_folders():
        shutil.copytree(package, folder / package.name, ignore=_IGNORED)
    for path in include:
        _copy(Path(path), folder / inside_name(path))
    file = Path(recipe).resolve()
    if file.suffix == ".py":
        root = import_root(file)
        _copy_modules(root, [file], folder)
        return file.relative_to(root).as_posix(), {}
    shutil.copyfile(file, folder / file.name)
    code: Mapping[str, str] = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("code") or {}
    for name, place in code.items():
        root = Path(place).parents[name.count(".")]
        _copy_modules(root, [Path(place)], folder)
    return file.name, {name: f"{name.replace('.', '/')}.py" for name in code}


def inside_name(path: str) -> str:
    """The path of an included file in the working folder: as typed, or its name if it is outside."""
    relative = os.path.relpath(path)
    return Path(path).name if relative.startswith("..") or relative == "." else Path(relative).as_posix()


def _copy_modules(root: Path, files: Iterable[Path], folder: Path) -> None:
    """Copy modules and all modules below `root` that they import, and keep their places."""
    finder = ModuleFinder(path=[str(root)], excludes=PACKAGES)
    for file in files:
        finder.run_script(str(file))
        _copy_below(root, file, folder)
        for parent in file.relative_to(root).parents:  # of packages
            if (root / parent / "__init__.py").is_file():
                _copy_below(root, root / parent / "__init__.py", folder)
    for module in finder.modules.values():
        place = getattr(module, "__file__", None)
        if place and Path(place).is_relative_to(root):
            _copy_below(root, Path(place), folder)


def _copy_below(root: Path, file: Path, folder: Path) -> None:
    if file.relative_to(root).parts[0] not in PACKAGES:
        _copy(file, folder / file.relative_to(root))


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise RecipeError("a file to include does not exist", where=str(source), remedy="correct --include")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_IGNORED, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
