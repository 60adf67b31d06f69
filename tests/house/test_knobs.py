"""Knobs: each is described where it is declared, and a threshold is named after the column that it limits."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from manifests.errors import ClipmillError
from pipeline import Dag, Keep
from pipeline.dag import Node
from pipeline.recipes.catalog import PACKAGES, find_recipe, list_recipes
from pipeline.recipes.descriptions import class_descriptions, descriptions
from pipeline.recipes.discovery import load_stages, setting_types
from pipeline.recipes.recipe import Knob, Recipe, build_dag

RECIPES = [name for name, _, _ in list_recipes()]
# Limits that no rule compares with a column of the same name, and what they limit.
NOT_A_RULE = {
    "min_cut_score": "entries of the column boundary_scores, in FindShots",
    "min_transition_score": "entries of the column boundary_scores, in FindShots",
    "min_frames": "duration_s, in frames at the trainer's frame rate",
    "max_duration_s": "duration_s, to which FindShots splits longer shots",
}
REQUIRED = {"footage": "films"}
ALL_STEPS = {
    **REQUIRED, "caption_model": "m", "caption_similarity_model": "c", "validation_share": 0.5,
    "min_frames": 40,
}  # fmt: skip
SENTINELS = (0.8125, 41, 977)  # values that no recipe uses; each knob accepts at least one
BELOW, ABOVE = (ast.Lt, ast.LtE), (ast.Gt, ast.GtE)


def limits(dag: Dag, value: float) -> Iterator[tuple[str, str, str]]:
    """Yield rule, column and prefix of each comparison with `value`; min if rows below it are dropped."""
    for name, node in dag.nodes.items():
        if not isinstance(node.work, Keep):
            continue
        for found in ast.walk(ast.parse(node.work.where, mode="eval")):
            if not isinstance(found, ast.Compare):
                continue
            sides = [found.left, *found.comparators]
            for left, operator, right in zip(sides, found.ops, sides[1:], strict=False):
                for column, other, is_left in ((left, right, True), (right, left, False)):
                    if isinstance(other, ast.Constant) and other.value == value:
                        is_max = isinstance(operator, BELOW if is_left else ABOVE)
                        yield name, ast.unparse(column), "max" if is_max else "min"


def is_number(knob: Knob) -> bool:
    return knob.value_type in (int, float)


def limits_of(recipe: Recipe, knob: Knob) -> list[tuple[str, str, str]]:
    """The comparisons with a knob's value, found by building the recipe with a value that is used nowhere."""
    known: dict[str, Any] = {each.name: "m" for each in recipe.knobs if each.required}
    known |= {name: value for name, value in ALL_STEPS.items() if name in recipe.knob_names()}
    reasons = []
    for value in SENTINELS:
        if knob.value_type is int and not isinstance(value, int):
            continue
        try:
            dag = build_dag(recipe, {**known, knob.name: value})
        except ClipmillError as error:
            reasons.append(str(error))
            continue
        return list(limits(dag, value))
    raise AssertionError(f"{knob.name} accepts none of {SENTINELS}: {reasons}")


def wrong_names(recipe: Recipe) -> list[str]:
    faults = []
    for knob in filter(is_number, recipe.knobs):
        found = limits_of(recipe, knob)
        faults += [
            f"{knob.name} limits {column} in rule {rule}, so its name must be {prefix}_{column}"
            for rule, column, prefix in found
            if knob.name != f"{prefix}_{column}"
        ]
        if not found and knob.name.startswith(("min_", "max_")) and knob.name not in NOT_A_RULE:
            faults.append(f"{knob.name} limits no column in any rule")
    return faults


@pytest.mark.parametrize("name", RECIPES)
def test_every_knob_is_described(name: str) -> None:
    recipe = find_recipe(name)
    assert [knob.name for knob in recipe.knobs if not knob.doc] == []
    assert [
        knob.name for knob in recipe.knobs if not knob.doc.endswith(".") or not knob.doc[0].isupper()
    ] == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_number_says_what_a_higher_value_does(name: str) -> None:
    knobs = [knob for knob in find_recipe(name).knobs if is_number(knob) and knob.name != "seed"]
    effects = ("Higher ", "below 1, ")
    assert [knob.name for knob in knobs if not any(word in knob.doc for word in effects)] == []


def test_a_limit_of_a_stage_says_what_a_higher_value_does() -> None:
    silent = [
        f"{stage.__name__}.{name}"
        for stage in load_stages(PACKAGES).values()
        for name, line in class_descriptions(stage).items()
        if name in setting_types(stage)
        and name.startswith(("min_", "max_"))
        and not any(word in line for word in ("igher value", "lower value"))
    ]
    assert silent == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_threshold_is_named_after_its_column(name: str) -> None:
    assert wrong_names(find_recipe(name)) == []


def test_the_exceptions_are_knobs() -> None:
    known = {knob for name in RECIPES for knob in find_recipe(name).knob_names()}
    assert set(NOT_A_RULE) <= known


def test_the_thresholds_are_found() -> None:
    recipe = find_recipe("curate")
    knobs = {knob.name: knob for knob in recipe.knobs}
    assert limits_of(recipe, knobs["max_noise"]) == [("noisy", "noise", "max")]
    assert limits_of(recipe, knobs["min_caption_words"]) == [("caption_too_short", "caption_words", "min")]
    assert limits_of(recipe, knobs["crf"]) == []


@pytest.mark.parametrize(
    ("where", "knob", "fault"),
    [
        ("noise < {}", "noisiest", "its name must be max_noise"),
        ("noise < {}", "min_noise", "its name must be max_noise"),
        ("{} <= noise", "max_noise", "its name must be min_noise"),
        ("noise < 2", "max_noise", "limits no column"),
        ("noise < {}", "max_noise", ""),
        ("1 < noise <= {}", "max_noise", ""),
    ],
)
def test_wrong_names_are_found(where: str, knob: str, fault: str) -> None:
    def build(**values: Any) -> Dag:
        rule = Keep(where.format(values[knob]), "noisy")
        return Dag("toy", {"noisy": Node("noisy", rule)})

    toy = Recipe("toy", "toy.py", "", (Knob(knob, float, 1.5),), build)
    faults = wrong_names(toy)
    assert len(faults) == bool(fault)
    assert all(fault in found for found in faults)


def test_a_setting_is_described_only_where_it_is_declared() -> None:
    """A stage inherits the descriptions of inherited settings, so a copy of one would be a second source."""
    stages = load_stages(PACKAGES).values()
    copies = {s.__name__: descriptions(s.__doc__).keys() - vars(s).get("__annotations__", {}) for s in stages}
    assert {name: sorted(entries) for name, entries in copies.items() if entries} == {}
