"""Tests of YAML recipes: round trips, and errors that name the line and the closest known name."""

import json
import sys
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from toys import Learn, Number, Numbers, Split, Square, Sum

from manifests import ClipmillError, Row, column
from manifests.errors import UnknownColumn
from pipeline import Annotate, Dag
from pipeline.errors import PlanError, RecipeError
from pipeline.planning.keys import compute_keys
from pipeline.recipes.yaml_text import from_yaml, json_schema, load_stages, read_knobs, to_yaml

TOYS = ("toys",)
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def toy_dag() -> Dag:
    dag = Dag("toy of ${many} kinds")
    squares = dag.read(Numbers(count=20), rows_per_part=3).annotate(
        Square(bad=4, wait_s=1e-7, count_in="${x} $${y}").on(batch=5, gpus=0.5, name="squared"), Odd()
    )
    large = squares.keep("square > 4 and tens != ''", because="too small: 4 or less")
    small = squares.keep("square < 400", because="large")
    pieces = large.join(small).expand(Split())
    summed = pieces.survey(Sum(groups=2))
    dag.save(large.join(small), "both")
    dag.save(summed, "pieces")
    dag.save(summed.launch(Learn().on(ranks=2)), "model")
    return dag


class Tens(Row):
    tens: str = column("the tens")


class Odd(Annotate[Number, Tens]):
    """Has one setting of every supported type."""

    factor: float = 2.0
    sizes: tuple[int, ...] = (480, 720)
    pairs: tuple[tuple[str, float], ...] = (("a", 1.0), ("b", 0.5))
    model: str | None = None
    exact: bool = True

    def annotate(self, rows: Any) -> list[Tens]:
        return [Tens(tens=str(row.n // 10)) for row in rows]


sys.modules.setdefault("odd_toys", sys.modules[__name__])
Odd.__module__ = "odd_toys"  # a name under which workers can import this file
ALLOWED = ("toys", "odd_toys")


def test_a_round_trip_gives_an_equal_dag_with_equal_keys() -> None:
    dag = toy_dag()
    copy = from_yaml(to_yaml(dag), packages=ALLOWED)
    assert copy.name == dag.name
    assert list(copy.nodes.values()) == list(dag.nodes.values())
    assert copy.outputs == dag.outputs
    assert list(copy.outputs) == list(dag.outputs)
    assert compute_keys(copy) == compute_keys(dag)
    assert to_yaml(copy) == to_yaml(dag)


def test_the_text_contains_only_what_differs_from_the_defaults() -> None:
    recipe = yaml.safe_load(to_yaml(toy_dag()))
    assert recipe["steps"]["numbers"] == {
        "stage": "toys:Numbers",
        "with": {"count": 20},
        "rows_per_part": 3,
    }
    assert recipe["steps"]["squared"]["needs"] == {"gpus": 0.5, "batch": 5}
    assert recipe["steps"]["large"] == {
        "from": ["squared", "odd"],
        "keep": "square < 400",
        "because": "large",
    }
    assert recipe["save"] == {"both": ["too_small_4_or_less", "large"], "pieces": "sum", "model": "learn"}


@NO_DEADLINE
@given(st.text())
@example("1e-6")
@example("null")
@example("yes")
@example("010")
@example("16:9")
@example("$${a} ${b} $$${c}")
@example(" lead and trail\n\n")
@example("\x85\u2028\ufeff\x00")
def test_any_text_survives_a_round_trip(text: str) -> None:
    dag = Dag(text)
    dag.read(Numbers()).annotate(Square(count_in=text))
    copy = from_yaml(to_yaml(dag), packages=TOYS)
    assert copy.name == text
    assert copy.nodes["square"].work.settings()["count_in"] == text  # type: ignore[union-attr]


@NO_DEADLINE
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives_a_round_trip(number: float) -> None:
    dag = Dag("toy")
    dag.read(Numbers()).annotate(Square(wait_s=number))
    copy = from_yaml(to_yaml(dag), packages=TOYS)
    assert copy.nodes["square"].work.settings()["wait_s"] == number  # type: ignore[union-attr]


TEXT = """\
dag: toy
knobs:
  count: null
  least: 4
  name: it
steps:
  numbers:
    stage: Numbers
    with: {count: "${count}"}
  squared:
    from: numbers
    stage: toys:Square
    with:
      bad: 3
      wait_s: 1
      count_in: "${name} $${name}"
    needs: {batch: 3, cpus: 0.5}
  small:
    from: [squared]
    keep: square > ${least}
    because: less than ${least}
save:
  kept: small
"""


def read(text: str, **knobs: Any) -> Dag:
    return from_yaml(text, "toy.yaml", {"count": 5, **knobs}, TOYS)


def test_references_are_replaced_by_knob_values() -> None:
    assert read_knobs(TEXT, "toy.yaml") == {"count": None, "least": 4, "name": "it"}
    dag = read(TEXT, least=2.5)
    assert dag.nodes["numbers"].work == Numbers(count=5)
    assert dag.nodes["small"].work.where == "square > 2.5"  # type: ignore[union-attr]
    assert dag.nodes["small"].work.because == "less than 2.5"  # type: ignore[union-attr]
    assert dag.nodes["squared"].work.count_in == "it ${name}"  # type: ignore[union-attr]
    assert dag.nodes["numbers"].rows_per_part == 0


def test_a_recipe_without_knobs_or_outputs_gives_a_dag() -> None:
    dag = from_yaml("dag: toy\nsteps:\n  numbers: {stage: Numbers}\n", packages=TOYS)
    assert list(dag.nodes) == ["numbers"]
    assert dag.outputs == {}


@pytest.mark.parametrize(
    ("old", "new", "line", "what", "remedy"),
    [
        ("dag: toy", "dga: toy", 1, "no key 'dga' in a recipe", "'dag'"),
        ("dag: toy", "dag: [toy]", 1, "dag: a list is not text", ""),
        ("dag: toy\n", "", 1, "the key 'dag' is missing in a recipe", ""),
        ("save:\n  kept: small", "save: [small]", 22, "save must be a mapping of `key: value` lines", ""),
        ("  kept: small", "  kept: smal", 23, "no step 'smal'", "'small'"),
        ("  kept: small", "  kept: []", 23, "output kept has no step", ""),
        ("  kept: small", "  Kept!: small", 23, "'Kept!' is not lower_snake_case", ""),
        ("stage: Numbers", "stage: Nubmers", 8, "no stage Nubmers", "toys:Numbers"),
        ("stage: Numbers", "stage: toys:Nubmers", 8, "no stage toys:Nubmers", "toys:Numbers"),
        ("stage: Numbers", "stage: toys:Number", 8, "no stage toys:Number", "toys:Numbers"),
        ("stage: Numbers", "stage: toys:Source", 8, "no stage toys:Source", ""),
        ("stage: Numbers", "stage: os:system", 8, "is outside toys", "write the recipe in Python"),
        ("stage: Numbers", "stage: toys.nowhere:Numbers", 8, "cannot be imported", ""),
        ("stage: Numbers", "stage: toysmore:Numbers", 8, "is outside toys", ""),
        ("stage: Numbers", "stage: 7", 8, "stage: 7 is not text", ""),
        ("{count:", "{cuont:", 9, "no key 'cuont' in the settings of Numbers", "'count'"),
        ("${count}", "${cuont}", 9, "no knob 'cuont'", "${count}"),
        ("${count}", "5", 9, "setting count of Numbers: '5' is not a whole number", ""),
        ("bad: 3", "bad: 3.5", 14, "setting bad of Square: 3.5 is not a whole number", ""),
        ("bad: 3", "bad: true", 14, "setting bad of Square: true is not a whole number", ""),
        ("bad: 3", "bad: null", 14, "setting bad of Square: nothing is not a whole number", ""),
        ("bad: 3", "bad: 3\n      bad: 4", 15, "duplicate key 'bad'; the first one is in line 14", ""),
        ("bad: 3", "3: bad", 14, "a key must be text", ""),
        ("wait_s: 1", "wait_s: .nan", 15, "setting wait_s of Square: nan is not a number", ""),
        ("{batch: 3", "{bacth: 3", 17, "no key 'bacth' in needs", "'batch'"),
        ("{batch: 3", "{batch: 0", 17, "batch: 0 is out of range", ""),
        ("{batch: 3", "{batch: [3]", 17, "batch: a list is not a whole number", ""),
        ("from: numbers", "from: nubmers", 11, "no step 'nubmers'", "'numbers'"),
        ("from: numbers", "form: numbers", 11, "no key 'form' in step squared", "'from'"),
        ("from: numbers", "rows_per_part: 3\n    from: numbers", 11, "no key 'rows_per_part'", ""),
        ("stage: Numbers", "stage: Numbers\n    from: []", 9, "no key 'from' in step numbers", ""),
        ("stage: Numbers", "stage: Numbers\n    rows_per_part: -1", 7, "rows_per_part is -1", ""),
        ("from: numbers", "from: small", 10, "a cycle: squared → small → squared", ""),
        ("from: numbers", "from: squared", 10, "a cycle: squared → squared", ""),
        ("from: [squared]\n    keep: square > ${least}", "keep: n > 1", 19, "the key 'from' is missing", ""),
        ("    because: less than ${least}\n", "", 19, "the key 'because' is missing in rule small", ""),
        ("    keep: square", "    kep: square", 20, "no key 'kep' in step small", "'keep'"),
        ("    keep: square", "    stage: Sum\n    keep: square", 20, "no key 'stage' in rule small", ""),
        ("  small:", "  squared:", 18, "duplicate key 'squared'; the first one is in line 10", ""),
        ("  small:", "  Small:", 18, "'Small' is not lower_snake_case", ""),
        ("  name: it", "  name: [it]", 5, "the default of knob name must be one value", ""),
        ("  name: it", "  na me: it", 5, "'na me' cannot be the name of a knob", ""),
        ("bad: 3", "bad: *three", 14, "an alias is not supported", ""),
        ("bad: 3", "bad: &three 3", 14, "an anchor is not supported", ""),
        ("bad: 3", "bad: !!int 3", 14, "a tag is not supported", ""),
        ("dag: toy", "dag: !!python/object/apply:os.system [true]", 1, "a tag is not supported", ""),
        ("bad: 3", "bad: [3", 15, "cannot be read", ""),
        ("bad: 3", "bad: \t3\n\tx", 14, "cannot be read", ""),
        ("dag: toy", "dag: toy\n---\ndag: two", 2, "cannot be read", ""),
    ],
)
def test_an_error_names_its_line(old: str, new: str, line: int, what: str, remedy: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(ClipmillError) as error:
        read(TEXT.replace(old, new))
    assert isinstance(error.value, RecipeError | PlanError)
    assert what in error.value.what
    assert remedy in error.value.remedy
    assert f"toy.yaml, line {line}" in error.value.where
    assert len(str(error.value).splitlines()) <= 6


def test_a_wrong_order_without_a_cycle_is_an_error() -> None:
    small = "{from: numbers, keep: n > 1, because: small}"
    text = f"dag: toy\nsteps:\n  small: {small}\n  numbers: {{stage: Numbers}}\n"
    with pytest.raises(RecipeError) as error:
        from_yaml(text, "toy.yaml", packages=TOYS)
    assert error.value.what == "step small reads numbers, which comes later"
    assert error.value.remedy == "move numbers above small"


def test_the_mark_is_below_the_wrong_word() -> None:
    with pytest.raises(RecipeError) as error:
        read(TEXT.replace("bad: 3", "bda: 3"))
    _, line, mark = str(error.value).splitlines()[1:4]
    assert line[mark.index("^") : mark.rindex("^") + 1] == "bda"


def test_an_unknown_column_error_names_the_line() -> None:
    with pytest.raises(UnknownColumn) as error:
        read(TEXT.replace("square >", "sqare >"))
    assert "toy.yaml, line 18" in error.value.where
    assert "'square'" in error.value.remedy


def test_a_column_that_no_step_adds_is_an_error_with_its_line() -> None:
    text = TEXT.replace("save:", "  sum: {from: small, stage: Sum}\nsave:")
    with pytest.raises(PlanError) as error:
        read(text)
    assert "reads start" in error.value.what
    assert "toy.yaml, line 22" in error.value.where


def test_a_missing_required_setting_is_named() -> None:
    text = "dag: toy\nsteps:\n  list: {stage: ListVideos}\n"
    with pytest.raises(RecipeError, match="ListVideos requires root"):
        from_yaml(text, "toy.yaml")


def test_a_missing_knob_is_named() -> None:
    with pytest.raises(RecipeError, match="knob count has no value"):
        from_yaml(TEXT, "toy.yaml", packages=TOYS)


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "x" * (1 << 21), "- a", "a: \x01", "%YAML 9"])
def test_invalid_or_oversized_text_is_an_error(text: str) -> None:
    with pytest.raises(RecipeError) as error:
        from_yaml(text, "toy.yaml")
    assert "toy.yaml" in error.value.where
    assert len(str(error.value)) < 800


def test_stages_are_found_without_importing_them() -> None:
    names = load_stages(TOYS)
    assert {"toys:Numbers", "toys:Square", "toys:Learn"} <= set(names)
    assert names["toys:Numbers"] is Numbers
    assert "stages.ingest.list_videos:ListVideos" in load_stages(("stages",))


def test_the_schema_accepts_valid_recipes_and_rejects_invalid_ones() -> None:
    schema = json_schema(("toys",))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))
    assert list(validator.iter_errors(yaml.safe_load(TEXT))) == []
    for old, new in [
        ("stage: Numbers", "stage: Nubmers"),
        ("{count:", "{cuont:"),
        ("bad: 3", "bad: three"),
        ("{batch: 3", "{bacth: 3"),
        ("from: numbers", "form: numbers"),
        ("    because: less than ${least}\n", ""),
        ("dag: toy", "dga: toy"),
        ("bad: 3", "bad: 3.5"),
        ("    from: numbers\n", ""),
    ]:
        assert list(validator.iter_errors(yaml.safe_load(TEXT.replace(old, new)))), new


def test_the_schema_contains_every_stage() -> None:
    schema = json.dumps(json_schema())
    for name in load_stages(("stages",)):
        assert f'"{name}"' in schema
    assert '"rows_per_part"' in schema
