"""What is decided before a cluster is started: rules, and children that are told many at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from toys import N, Numbers, Quiet, Square

from manifests import Row, column
from manifests.stores.folder import FolderStore
from pipeline import Dag, Expand
from pipeline.executors import deciding
from pipeline.executors.inline import Inline
from pipeline.executors.on_ray import executor
from pipeline.executors.on_ray.executor import OnRay
from pipeline.planning.plan import Plan, plan_of


class Digit(Row):
    digit: int = column("of the number, from the right", key=True)


class Digits(Expand[N, Digit]):
    """Tells all at once."""

    base: int = 10
    from_store = True

    def expand(self, row: N) -> Iterator[Digit]:
        yield Digit(digit=row.n % self.base)

    def expand_many(self, rows: pa.Table) -> pa.Table:
        digits = [n % self.base for n in rows["n"].to_pylist()]
        return pa.table({"row": list(range(len(digits))), "digit": digits})


class Started(Exception):
    """A cluster was started."""


@contextmanager
def no_cluster(address: str | None, workers: int) -> Iterator[None]:
    raise Started
    yield


@pytest.fixture(autouse=True)
def _clusterless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "cluster", no_cluster)
    monkeypatch.setattr(executor.ray, "is_initialized", lambda: False)


def plan(store: Path, least: int, *, base: int = 10, dear: bool = False) -> Plan:
    dag = Dag("d")
    numbers = dag.read(Numbers(count=12), rows_per_part=5).keep(f"n >= {least}", because="small")
    digits = numbers.expand(Digits(base=base)).keep("digit > 1", because="low")
    dag.save(digits.annotate(Square()) if dear else digits, "x")
    return plan_of(dag, FolderStore(store), "r")


def files(found: Plan) -> dict[str, bytes]:
    names = {step.folder for step in found}
    return {n: found.store.read(n) for n in found.store.walk() if n.partition("/")[0] in names}


def test_what_is_only_decided_again_starts_no_cluster(tmp_path: Path) -> None:
    Inline().run(plan(tmp_path / "a", 1), Quiet())
    Inline().run(plan(tmp_path / "b", 1), Quiet())
    for knobs in ({"least": 4}, {"least": 2, "base": 7}):
        schedule = OnRay().run(plan(tmp_path / "a", **knobs), Quiet())
        assert schedule.finished
        Inline().run(plan(tmp_path / "b", **knobs), Quiet())
        assert files(plan(tmp_path / "a", **knobs)) == files(plan(tmp_path / "b", **knobs))


def test_a_dear_step_starts_one_when_all_is_decided(tmp_path: Path) -> None:
    Inline().run(plan(tmp_path, 3), Quiet())
    changed = plan(tmp_path, 1, dear=True)
    with pytest.raises(Started):
        OnRay().run(changed, Quiet())
    stand = {
        step.name: {n for n in files(changed) if n.startswith(f"{step.folder}/part")} for step in changed
    }
    assert {name for name, parts in stand.items() if len(parts) == 3} == {"numbers", "small", "digits", "low"}
    assert not stand["square"]


@pytest.mark.parametrize("way", ["a fresh run", "no time", "an address"])
def test_else_it_is_started_at_once(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "a fresh run":
        Inline().run(plan(tmp_path, 1), Quiet())
    if way == "no time":
        monkeypatch.setattr(deciding, "_LONG_S", 0.0)
    changed = plan(tmp_path, 2)
    with pytest.raises(Started):
        OnRay("somewhere" if way == "an address" else None).run(changed, Quiet())
    assert not [n for n in files(changed) if n.startswith(f"{changed['small'].folder}/part")]
