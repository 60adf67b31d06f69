"""The contract of stages. The tests find every stage below `stages`, so a new stage needs no change here."""

import inspect
import pickle
import re
import subprocess
import sys
from dataclasses import MISSING, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, get_args

import pytest

import stages
from manifests import Row
from manifests.identity import digest_of
from manifests.schema import schema_of
from pipeline.dag import snake_case
from pipeline.needs import Needs
from pipeline.planning.keys import hashed_settings
from pipeline.recipes.discovery import required_settings, setting_types, stage_names
from pipeline.recipes.values import convert_value, is_plain
from pipeline.stage import Annotate, Compare, Expand, Launch, Source, Stage, Survey

Kind = type[Stage[Any, Any]]
MODULES = sorted(module.name for module in walk_packages(stages.__path__, "stages."))
KINDS = (Source, Annotate, Expand, Survey, Compare, Launch)
WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def find_stages() -> list[Kind]:
    """Every stage class defined below `stages`."""
    classes = {c for name in MODULES for c in vars(import_module(name)).values() if inspect.isclass(c)}
    own = [c for c in classes if issubclass(c, Stage) and c.__module__.startswith("stages.")]
    return sorted((c for c in own if not inspect.isabstract(c)), key=lambda c: c.__name__)


STAGES = find_stages()
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)


def build(stage: Kind) -> Stage[Any, Any]:
    """The stage with its default settings, and a plain value for each setting without a default."""
    return stage(**{name: plain_value(setting_types(stage)[name]) for name in required_settings(stage)})


def plain_value(kind: object) -> Any:
    """Some value of a declared type."""
    for value in ("a/b", 3, 0.5, True, (), *get_args(kind)):
        try:
            return convert_value(value, kind)
        except ValueError:
            continue
    raise AssertionError(f"no plain value fits the type {kind}")


def test_yaml_finds_the_same_stages() -> None:
    assert len(STAGES) > 5
    assert list(stage_names(("stages",))) == sorted(f"{s.__module__}:{s.__name__}" for s in STAGES)


def test_no_two_stages_share_a_name() -> None:
    assert len({stage.__name__ for stage in STAGES}) == len(STAGES)


def test_importing_all_stages_loads_no_heavy_package() -> None:
    light = [
        name for name in MODULES if not name.startswith("stages.simulation.control")
    ]  # no stages, a verb
    heavy = ("torch", "torchvision", "ray", "av", "cv2", "faiss", "transformers", "open_clip", "scenedetect")
    code = f"import sys, {', '.join(light)}\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@every_stage
def test_its_file_has_its_name(stage: Kind) -> None:
    assert stage.__module__.rpartition(".")[2] == snake_case(stage.__name__)


@every_stage
def test_it_has_a_docstring(stage: Kind) -> None:
    assert (stage.__doc__ or "").strip()
    assert not (stage.__doc__ or "").startswith(f"{stage.__name__}("), "the docstring is dataclass's own"


@every_stage
def test_it_has_one_kind(stage: Kind) -> None:
    assert sum(issubclass(stage, kind) for kind in KINDS) == 1


@every_stage
def test_its_columns_have_meanings_and_units(stage: Kind) -> None:
    for column in stage.adds.columns():
        metadata = column.metadata
        assert metadata.get("meaning"), f"{column.name} has no meaning"
        assert WORD.fullmatch(column.name), f"{column.name} is not lower_snake_case"
        if _holds_floats(stage.adds.types()[column.name]):
            assert metadata["unit"], f"{column.name} holds floats and has no unit"


def _holds_floats(kind: object) -> bool:
    return kind is float or any(_holds_floats(part) for part in get_args(kind))


SUFFIXES = {"_s": "s", "_px": "px", "_bytes": "bytes", "_fps": "1/s", "_deg": "deg", "_share": "0..1"}


@every_stage
def test_names_and_units_agree(stage: Kind) -> None:
    units = {c.name: c.metadata["unit"] for c in stage.adds.columns() if c.metadata["unit"]}
    for name, unit in units.items():
        for suffix, expected in SUFFIXES.items():
            if name.endswith(suffix):
                assert unit in (expected, suffix[1:]), f"{name} is in {unit}"


@every_stage
def test_a_from_store_stage_adds_no_files(stage: Kind) -> None:
    if stage.from_store:
        assert issubclass(stage, Annotate | Expand | Compare)
        assert not any("Artifact" in str(kind) for kind in stage.adds.types().values())


@every_stage
def test_its_rows_fit_into_parquet(stage: Kind) -> None:
    for row in (stage.reads, stage.adds):
        assert issubclass(row, Row)
        assert schema_of(row).names == list(row.names())
    if issubclass(stage, Source):
        assert "id" in stage.adds.names()
    else:
        assert not {"id", "parent"} & set(stage.adds.names()), "the engine makes ids"
        assert not set(stage.reads.names()) & set(stage.adds.names()), "a column has one author"


@every_stage
def test_its_version_and_needs_are_valid(stage: Kind) -> None:
    assert type(stage.version) is int
    assert stage.version >= 1
    assert isinstance(stage.needs, Needs)


@every_stage
def test_execution_settings_are_settings(stage: Kind) -> None:
    assert isinstance(stage.execution_settings, frozenset)
    assert stage.execution_settings <= set(setting_types(stage))


@every_stage
def test_its_settings_are_plain(stage: Kind) -> None:
    for name, kind in setting_types(stage).items():
        assert is_plain(kind), f"{name}: {kind} is not a plain value"
    for field in fields(stage):  # type: ignore[arg-type]
        assert field.default_factory is MISSING, f"{field.name} has a default_factory"
        if field.default is not MISSING:
            convert_value(field.default, setting_types(stage)[field.name])


@every_stage
def test_equal_settings_make_equal_stages(stage: Kind) -> None:
    one, two = build(stage), build(stage)
    assert one == two
    assert hash(one) == hash(two)
    assert digest_of(hashed_settings(one)) == digest_of(hashed_settings(two))


@every_stage
def test_it_is_pickled_without_its_models(stage: Kind) -> None:
    value = build(stage)
    for name in dir(stage):
        if isinstance(inspect.getattr_static(stage, name), cached_property):
            vars(value)[name] = _Unpicklable()
    again = pickle.loads(pickle.dumps(value))  # noqa: S301  the bytes come from the line itself
    assert again == value
    assert vars(again) == value.settings()


class _Unpicklable:
    """Replaces a model; cannot be pickled."""

    def __reduce__(self) -> Any:
        raise AssertionError("a model was pickled with its stage")


@every_stage
def test_its_methods_are_annotated(stage: Kind) -> None:
    for name, member in vars(stage).items():
        function = getattr(member, "func", getattr(member, "__func__", member))
        if inspect.isfunction(function) and function.__module__ == stage.__module__ and name[:2] != "__":
            assert "return" in function.__annotations__, f"{name} has no return annotation"


@every_stage
def test_its_file_is_in_the_package_of_its_subject(stage: Kind) -> None:
    file = Path(inspect.getfile(stage))
    assert file.parent.parent == Path(stages.__path__[0])
    assert file.parent.name not in ("media", "models", "recipes"), "move it to the package of its subject"
