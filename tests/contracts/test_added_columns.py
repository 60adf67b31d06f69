"""The contract of stages whose settings decide the columns that they add: keys, YAML, catalog and workers."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
from toys import N, Numbers, Powers, Quiet, RaiseToPowers, Square, Sum

from manifests import ManifestError, Row, column, make_row
from manifests.schema import rows_of, schema_of, table_of
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Annotate, Dag
from pipeline.errors import PlanError
from pipeline.executors.inline import Inline
from pipeline.planning.keys import compute_keys
from pipeline.planning.plan import Plan, build_plan
from pipeline.recipes.catalog import describe_stages
from pipeline.recipes.drawing import draw
from pipeline.recipes.yaml_text import from_yaml, to_yaml


class Cubed(Row):
    power_3: int | None


class Halved(Row):
    half_cube: float | None = column("half of the cube", unit="1")


class HalveCube(Annotate[Cubed, Halved]):
    def annotate(self, rows: Sequence[Cubed]) -> list[Halved]:
        return [Halved(half_cube=None if row.power_3 is None else row.power_3 / 2) for row in rows]


def _dag(*exponents: int) -> Dag:
    dag = Dag("powers")
    raised = dag.read(Numbers(count=6), rows_per_part=4).annotate(RaiseToPowers(exponents=exponents))
    halved = raised.annotate(HalveCube()) if 3 in exponents else raised
    dag.save(halved.keep("power_2 > 4", because="small"), "raised")
    return dag


def _table(plan: Plan) -> list[dict[str, object]]:
    folder = plan["raise_to_powers"].folder
    return [row for n in (0, 1) for row in read_part(plan.store, f"{folder}/{part_name(n)}").to_pylist()]


def test_a_class_has_its_declared_columns_and_a_stage_those_of_its_settings() -> None:
    assert RaiseToPowers.adds is Powers
    assert RaiseToPowers().adds.names() == ("is_even",)
    assert RaiseToPowers(exponents=(2, 3)).adds.names() == ("is_even", "power_2", "power_3")
    assert Square().adds is Square.adds
    copied = pickle.loads(pickle.dumps(RaiseToPowers(exponents=(2,))))  # noqa: S301  bytes of this line
    assert copied.adds is RaiseToPowers(exponents=(2,)).adds
    assert vars(pickle.loads(pickle.dumps(copied))) == {"exponents": (2,)}  # noqa: S301


def test_a_run_stores_the_columns(tmp_path: Path) -> None:
    plan = build_plan(_dag(2, 3), FolderStore(tmp_path / "inline"), "r")
    assert Inline().run(plan, Quiet()).is_finished
    rows = sorted(_table(plan), key=lambda row: str(row["power_2"]))
    assert [(row["is_even"], row["power_2"], row["power_3"]) for row in rows] == [
        (False, 1, 1), (True, 16, 64), (False, 25, 125), (True, 4, 8), (False, 9, 27), (True, None, None),
    ]  # fmt: skip


def test_rules_and_stages_are_checked_against_the_columns() -> None:
    with pytest.raises(PlanError, match="power_3, which no earlier step adds"):
        Dag("powers").read(Numbers()).annotate(RaiseToPowers(exponents=(2,))).annotate(HalveCube())
    rows = Dag("powers").read(Numbers()).annotate(RaiseToPowers(exponents=(2,)))
    with pytest.raises(PlanError, match="two steps add the column 'is_even'"):
        rows.annotate(RaiseToPowers(exponents=(2, 4)).on(name="again"))
    assert "+is_even, power_2" in draw(_dag(2))


def test_other_columns_make_other_keys() -> None:
    two, three = compute_keys(_dag(2)), compute_keys(_dag(2, 3))
    assert two["raise_to_powers"].content != three["raise_to_powers"].content
    assert two["numbers"] == three["numbers"]
    assert two == compute_keys(_dag(2))


def test_yaml_keeps_the_columns() -> None:
    again = from_yaml(to_yaml(_dag(2, 3)), packages=("toys", __name__))
    assert compute_keys(again) == compute_keys(_dag(2, 3))


def test_the_catalog_shows_the_declared_columns_and_says_that_settings_add_more(tmp_path: Path) -> None:
    file = tmp_path / "powers.py"
    file.write_text("from toys import RaiseToPowers as R\n\n\nclass Raise(R):\n    '''Raises.'''\n")
    (info,) = describe_stages(str(file))
    assert [column.name for column in info.adds] == ["is_even"]
    assert info.adds_by_settings
    assert not describe_stages("MeasureMotion")[0].adds_by_settings


def test_a_made_row_extends_its_base() -> None:
    made = make_row("Made", {"license": (str | None, column("the license"))}, base=Powers)
    assert made is make_row("Made", {"license": (str | None, column("the license"))}, base=Powers)
    assert made is not make_row("Made", {"license": (str | None, column("a license"))}, base=Powers)
    assert issubclass(made, Powers)
    schema = schema_of(made)
    assert schema.field("license").metadata == {b"meaning": b"the license", b"unit": b""}
    assert [schema.field(name).nullable for name in schema.names] == [False, True]
    (row,) = rows_of(table_of([{"is_even": True, "license": None}], schema), made)
    assert row == made(is_even=True, license=None)


@pytest.mark.parametrize(
    "name",
    ["is_even", "id", "parent", "names", "columns", "class", "Camera", "a b", "", "a__b", "2d", "x" * 65],
)
def test_a_made_row_refuses_invalid_and_taken_names(name: str) -> None:
    with pytest.raises(ManifestError, match="the column name"):
        make_row("Made", {name: (str, column("a column"))}, base=Powers)


def test_the_row_that_a_stage_reads_is_independent_of_the_added_columns() -> None:
    assert RaiseToPowers(exponents=(2,)).reads is N
    assert Sum().adds is Sum.adds
