"""Tests of recipes: loading a file, setting knobs, and short error messages that name the line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manifests.errors import ClipmillError, UnknownColumn
from pipeline.dag import Dag
from pipeline.errors import PlanError, RecipeError
from pipeline.recipes.recipe import build_dag, load_recipe, parse_knobs

TOY = '''
"""Toy."""
from typing import Literal
from pipeline import Dag
from toys import Numbers, Square

def toy(
    count: int,
    least: float = 1.0,
    deep: bool = False,
    name: str | None = "x",
    sizes: tuple[int, ...] = (1, 2),
    pair: tuple[float, str] = (1.0, "a"),
    mode: Literal["fast", "exact"] = "fast",
) -> Dag:
    """A toy.

    Args:
        count: how many numbers.
        least: the smallest square that is kept.
    """
    dag = Dag(f"{deep} {name} {sizes} {pair} {mode}")
    squares = dag.read(Numbers(count=count)).annotate(Square())
    dag.save(squares.keep(f"square > {least}", because="small"), "kept")
    return dag
'''


@pytest.fixture(autouse=True)
def _paths() -> Iterator[None]:
    """Recipes put their folders on sys.path and their modules into sys.modules."""
    paths, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", "") and "pytest-of" in str(sys.modules[name].__file__):
            del sys.modules[name]


def write_recipe(folder: Path, text: str, name: str = "toy.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def load_error(path: Path, **knobs: object) -> ClipmillError:
    with pytest.raises(ClipmillError) as error:
        build_dag(load_recipe(path), knobs)
    assert len(str(error.value).splitlines()) < 10
    return error.value


def test_a_recipe_lists_its_knobs(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, TOY))
    assert recipe.name == "toy"
    assert recipe.doc.startswith("A toy.")
    assert recipe.knob_names() == ("count", "least", "deep", "name", "sizes", "pair", "mode")
    count, least, *_ = recipe.knobs
    assert count.required
    assert count.doc == "how many numbers."
    assert str(least) == "least (default 1.0): the smallest square that is kept."


def test_knob_text_is_converted_to_the_declared_types(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, TOY))
    texts = {"deep": "yes", "name": "none", "sizes": "3, 4,5", "pair": "2,b", "mode": "exact"}
    dag = build_dag(recipe, {"count": "7", "least": "1e1", **texts})
    assert dag.name == "True None (3, 4, 5) (2.0, 'b') exact"
    assert dag.nodes["numbers"].work.count == 7
    assert dag.nodes["small"].work.where == "square > 10.0"


def test_knobs_can_be_python_values(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, TOY))
    dag = build_dag(recipe, {"count": 7, "least": 3, "sizes": [1], "name": None})
    assert dag.name == "False None (1,) (1.0, 'a') fast"
    assert dag.nodes["small"].work.where == "square > 3.0"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"count": "many"}, "knob count: 'many' is not a whole number"),
        ({"count": "1.5"}, "knob count: '1.5' is not a whole number"),
        ({"count": 1.0}, "knob count: 1.0 is not a whole number"),
        ({"count": "1", "least": "nan"}, "knob least: 'nan' is not a number"),
        ({"count": "1", "deep": "maybe"}, "knob deep: 'maybe' is not true or false"),
        ({"count": "1", "sizes": "1,b"}, "knob sizes: 'b' is not a whole number"),
        ({"count": "1", "pair": "1"}, "knob pair: 1 values instead of 2"),
        ({"count": "1", "mode": "exakt"}, "did you mean 'exact'?"),
        ({"count": "1", "laest": "2"}, "no knob 'laest'"),
        ({}, "recipe toy requires count"),
    ],
)
def test_an_invalid_knob_is_an_error(tmp_path: Path, knobs: dict[str, object], message: str) -> None:
    file = write_recipe(tmp_path, TOY)
    error = load_error(file, **knobs)
    assert isinstance(error, RecipeError)
    assert message in error.what
    assert error.where == str(file)
    assert error.remedy


def test_an_unknown_knob_error_names_the_closest_knob_or_else_all(tmp_path: Path) -> None:
    remedy = load_error(write_recipe(tmp_path, TOY), count=1, laest=2).remedy
    assert remedy == "did you mean 'least'?"
    remedy = load_error(write_recipe(tmp_path, TOY), count=1, xyz=2).remedy
    assert remedy == "available knobs: count, least, deep, name, sizes, pair, mode"


def test_a_missing_knob_error_shows_its_help(tmp_path: Path) -> None:
    assert load_error(write_recipe(tmp_path, TOY)).remedy == "add count=…; count: how many numbers."


def test_a_missing_file_error_names_the_closest_file(tmp_path: Path) -> None:
    write_recipe(tmp_path, TOY, "curate.py")
    error = load_error(tmp_path / "curat.py")
    assert error.what == "the recipe file does not exist"
    assert error.remedy == f"did you mean {tmp_path / 'curate.py'}?"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("toy.txt", TOY, "a recipe must be a .py or .yaml file"),
        ("my-toy.py", TOY, "'my-toy' is not a valid name"),
        ("other.py", TOY, "other.py has no function named 'other'"),
        ("toy.py", "def toy(*all): ...", "takes *all, but a knob needs a name"),
        ("toy.py", "def toy(count): ...", "knob count of recipe toy has no type"),
        ("toy.py", "def toy(count: dict): ...", "knob count of recipe toy has no type"),
        ("toy.py", "def toy(count: int = 'x'): ...", "the default of knob count: 'x' is not a whole number"),
        ("toy.py", "def toy(): ...", "recipe toy returned NoneType, not a Dag"),
        ("toy.py", "import nowhere_at_all", "recipe toy raised ModuleNotFoundError"),
        ("toy.py", "raise SystemExit(3)", "recipe toy raised SystemExit: 3"),
        ("toy.py", "def toy() -> Nowhere: ...", "recipe toy raised NameError"),
        ("toy.py", b"x = '\xff'", "invalid Python"),
        ("toy.py", "x = '\0'", "null bytes"),
        ("toy.yaml", b"dag: \xff", "the file is not UTF-8 text"),
        ("toy.yaml", "", "the file is empty"),
    ],
)
def test_an_invalid_file_raises_an_error_that_names_it(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = load_error(file)
    assert isinstance(error, RecipeError)
    assert message in error.what
    assert name in error.where


def test_a_folder_is_not_a_recipe(tmp_path: Path) -> None:
    assert "this is a folder" in load_error(tmp_path).what


def test_a_syntax_error_shows_the_line_with_a_mark(tmp_path: Path) -> None:
    file = write_recipe(tmp_path, "def toy():\n    return Dag('x'\n")
    where = load_error(file).where.splitlines()
    assert where[0] == f"{file.resolve()}, line 2"
    assert where[1].endswith("return Dag('x'")
    assert where[2].index("^") == where[1].index("(")


def test_an_exception_inside_a_recipe_names_its_line(tmp_path: Path) -> None:
    file = write_recipe(tmp_path, TOY.replace("count=count", "cuont=count"))
    error = load_error(file, count=1)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "cuont" in text)
    assert error.what.startswith("recipe toy raised TypeError")
    assert f"{file}, line {line}" in error.where
    assert "Numbers(cuont=count)" in error.where


def test_a_dag_error_keeps_its_type_and_names_the_line(tmp_path: Path) -> None:
    error = load_error(write_recipe(tmp_path, TOY.replace('f"square > {least}"', '"sqare > 1"')), count=1)
    assert isinstance(error, UnknownColumn)
    assert "toy.py, line 24" in error.where
    repeated = TOY.replace("    return dag", "    squares.annotate(Square())\n    return dag")
    error = load_error(write_recipe(tmp_path, repeated), count=1)
    assert isinstance(error, PlanError)
    assert "squares.annotate(Square())" in error.where


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    names = []
    for digit in "123":
        file = write_recipe(tmp_path, TOY.replace("small", f"small{digit}"))
        names.append(next(reversed(build_dag(load_recipe(file), {"count": 1}).nodes)))
    assert names == ["small1", "small2", "small3"]


def test_recipes_with_the_same_name_in_two_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recipe = load_recipe(write_recipe(tmp_path / name, TOY.replace("small", name)))
        assert name in build_dag(recipe, {"count": 1}).nodes


def test_a_recipe_cannot_have_the_name_of_a_loaded_module(tmp_path: Path) -> None:
    error = load_error(write_recipe(tmp_path, "def json(): ...", "json.py"))
    assert "another module is named json" in error.what
    assert sys.modules["json"].__file__ != str(tmp_path / "json.py")


def test_a_recipe_inside_a_package_is_imported_as_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "user_package").mkdir()
    (tmp_path / "user_package" / "__init__.py").write_text("COUNT = 5\n")
    text = TOY.replace("from pipeline import Dag", "from pipeline import Dag\nfrom . import COUNT")
    file = write_recipe(tmp_path / "user_package", text.replace("count: int", "count: int = COUNT"))
    recipe = load_recipe(file)
    assert build_dag(recipe, {}).nodes["numbers"].work.count == 5
    assert "user_package.toy" in sys.modules


def test_a_second_copy_of_a_package_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("")
    (tmp_path / "pipeline" / "errors.py").write_text("def errors(): ...")
    error = load_error(tmp_path / "pipeline" / "errors.py")
    assert "another module is named pipeline.errors" in error.what


OWN = """
from manifests import Row, column
from pipeline import Annotate, Dag
from toys import N, Numbers

class Twice(Row):
    twice: int = column("two times the number")

class Double(Annotate[N, Twice]):
    def annotate(self, rows):
        return [Twice(twice=row.n * 2) for row in rows]

def own() -> Dag:
    dag = Dag("own")
    dag.save(dag.read(Numbers()).annotate(Double()), "all")
    return dag
"""


def test_workers_can_import_a_stage_that_a_recipe_defines(tmp_path: Path) -> None:
    dag = build_dag(load_recipe(write_recipe(tmp_path, OWN, "own.py")), {})
    stage_class = type(dag.nodes["double"].work)
    module, name = stage_class.__module__, stage_class.__qualname__
    code = f"import {module}; print({module}.{name}.__name__)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "Double"


def test_a_yaml_recipe_has_knobs(tmp_path: Path) -> None:
    text = (
        "dag: toy\nknobs: {count: null, most: 3}\nsteps:\n"
        '  numbers: {stage: Numbers, with: {count: "${most}"}}\n'
        '  small: {from: numbers, keep: "n > ${count}", because: small}\n'
        "save: {kept: small}\n"
    )
    recipe = load_recipe(write_recipe(tmp_path, text, "toy.yaml"), packages=("toys",))
    assert [knob.required for knob in recipe.knobs] == [True, False]
    with pytest.raises(RecipeError, match="recipe toy requires count"):
        build_dag(recipe, {})
    with pytest.raises(RecipeError, match="knob most: 'x' is not a whole number"):
        build_dag(recipe, {"count": "1", "most": "x"})
    dag = build_dag(recipe, {"count": "2", "most": "9"})
    assert isinstance(dag, Dag)
    assert dag.nodes["numbers"].work.count == 9
    assert dag.nodes["small"].work.where == "n > 2"


def test_yaml_can_name_stages_of_the_allowed_packages_only(tmp_path: Path) -> None:
    text = "dag: toy\nsteps:\n  numbers: {stage: toys:Numbers}\nsave: {all: numbers}\n"
    error = load_error(write_recipe(tmp_path, text, "toy.yaml"))
    assert "stage toys:Numbers is outside stages" in error.what


def test_knobs_are_assignments() -> None:
    assignments = ["footage=s3://a/b?c=d", "empty=", "min_motion=0.4"]
    assert parse_knobs(assignments) == {"footage": "s3://a/b?c=d", "empty": "", "min_motion": "0.4"}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["footage"], "'footage' is not a knob"),
        (["=3"], "'' cannot be the name of a knob"),
        (["--hold-out=3"], "write hold_out=3"),
        (["a=1", "a=2"], "knob a is set twice: '1' and '2'"),
    ],
)
def test_invalid_assignments_raise_an_error(assignments: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match="knob") as error:
        parse_knobs(assignments)
    assert message in str(error.value)


SHARED = '''
"""Toy."""
from dataclasses import dataclass
from pipeline import Dag
from toys import Numbers, Square

@dataclass(frozen=True)
class Bounds:
    """What is kept.

    Args:
        least: the smallest square that is kept.
    """
    least: float = 1.0
    most: float = 9.0

def toy(count: int, bounds: Bounds = Bounds(most=7.0), deep: bool = False) -> Dag:
    """A toy."""
    dag = Dag(f"{deep} {bounds}")
    dag.save(dag.read(Numbers(count=count)).annotate(Square()), "all")
    return dag
'''


def test_a_dataclass_argument_adds_its_fields_as_knobs(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, SHARED))
    assert recipe.knob_names() == ("count", "least", "most", "deep")
    assert str(recipe.knobs[1]) == "least (default 1.0): the smallest square that is kept."
    assert build_dag(recipe, {"count": 1}).name == "False Bounds(least=1.0, most=7.0)"
    assert (
        build_dag(recipe, {"count": 1, "least": "2.5", "deep": True}).name
        == "True Bounds(least=2.5, most=7.0)"
    )
    assert "knob least" in load_error(tmp_path / "toy.py", count=1, least="low").what
    assert "no knob 'bounds'" in load_error(tmp_path / "toy.py", count=1, bounds=2).what


def test_two_knobs_cannot_have_the_same_name(tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path, SHARED.replace("deep: bool = False", "least: float = 0.0").replace("{deep}", "")
    )
    with pytest.raises(RecipeError, match="two knobs named 'least'"):
        load_recipe(path)
