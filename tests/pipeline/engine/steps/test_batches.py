"""Groups are settled in batches, so that tasks and reads do not grow with parts times groups."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from toys import N, Numbers, Quiet

from manifests import Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, read_part
from pipeline import Dag, Reject, Survey
from pipeline.engine.steps.groups.batches import batch_count
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan

ROWS, GROUPS = 900, 300


class Mates(Row):
    others: int = column("number of other rows in the group")


class CountMates(Survey[N, Mates]):
    """Groups of three rows; the row 7 is rejected."""

    def assign(self, rows: Sequence[N], fitted: bytes) -> Iterable[str]:
        return [f"group-{row.n % GROUPS}" for row in rows]

    def settle(self, group: str, rows: Sequence[N], fitted: bytes) -> Iterator[Mates | Reject]:
        yield from (Reject("seven") if row.n == 7 else Mates(others=len(rows) - 1) for row in rows)


def test_many_groups_are_settled_by_few_tasks(tmp_path: Path) -> None:
    dag = Dag("mates")
    dag.save(dag.read(Numbers(count=ROWS), rows_per_part=300).survey(CountMates()), "mates")
    plan = build_plan(dag, FolderStore(tmp_path), "r")
    schedule = Inline().run(plan, Quiet())
    counts = schedule.steps["count_mates"].row_counts
    assert (counts.passed, counts.rejected) == (ROWS - 1, 1)
    folder = plan["count_mates"].folder
    rows = [row for n in range(3) for row in read_part(plan.store, f"{folder}/{part_name(n)}").to_pylist()]
    assert {row["others"] for row in rows} == {2}
    settled = plan.store.names(f"{folder}/settled")
    assert len([name for name in settled if name.endswith(".parquet")]) == GROUPS
    assert 64 < len([name for name in settled if name.startswith("batch-")]) <= 128
    assert len(plan.store.names(f"{folder}/members")) == 3  # another driver may still read them


def test_the_number_of_batches_grows_with_the_parts_up_to_a_limit() -> None:
    assert [batch_count(parts) for parts in (0, 100, 1000, 10_000, 100_000)] == [128, 128, 250, 2500, 4096]
