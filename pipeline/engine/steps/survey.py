"""Survey: tally each part, fit once, assign each part, settle each group, hand each part its rows back.

FOLDER/tally/part-000000.json     totals of a part, and its candidates for the sample
FOLDER/fitted.bin                 what `fit` returned
FOLDER/assigned/part-000000…      id and group of each row; the footer counts rows per group
FOLDER/settled/GROUP.parquet      the new columns of a group's rows, with the part each came from
"""

import heapq
import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import order_of
from manifests.schema import record_of, rows_of, schema_of, table_of
from manifests.store import Store
from manifests.table import (
    RowCounts,
    part_name,
    parts_of,
    read_part,
    read_row_counts,
    write_part,
    write_rejects,
)
from pipeline.engine.inputs import columns_for, input_table, take
from pipeline.engine.journal import Answer
from pipeline.engine.steps.storing import answer_of, rejects_table, stored
from pipeline.engine.task import Done, Task
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Reject, Stage, Survey

_ASSIGNED = pa.schema([pa.field("id", pa.string(), False), pa.field("group", pa.string(), False)])
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def tally(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Sum up a part, and name its rows that may be in the sample: those whose ids hash lowest."""
    assert isinstance(stage, Survey)
    name = tally_name(step, task.number)
    if plan.store.exists(name):
        return Done()
    table = input_table(plan, step, task.number)
    rows = rows_of(table, stage.reads, plan.store)
    note(plan, name, dict(stage.tally(rows)), table.column("id").to_pylist(), stage.sample)
    return Done()


def tally_name(step: Step, number: int) -> str:
    return f"{step.folder}/tally/part-{number:06d}.json"


def note(plan: Plan, name: str, totals: dict[str, int], ids: list[str], sample: int) -> None:
    """Write what a part says of itself: its totals, and the ids that hash lowest."""
    said = {"totals": totals, "low": heapq.nsmallest(sample, ids, key=order_of)}
    plan.store.create(name, json.dumps(said, sort_keys=True).encode())


def fit(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Add up the totals, gather the sample, and let the stage learn what it needs to know."""
    assert isinstance(stage, Survey)
    if plan.store.exists(f"{step.folder}/fitted.bin"):
        return Done()
    sample, totals = sampled(plan, step, task.number, stage.sample)
    rows = rows_of(sample, stage.reads, plan.store) if sample else []
    plan.store.create(f"{step.folder}/fitted.bin", stage.fit(rows, totals))
    return Done()


def sampled(plan: Plan, step: Step, parts: int, most: int) -> tuple[pa.Table | None, dict[str, int]]:
    """The rows of all parts whose ids hash lowest, sorted by id, and the sums of the totals."""
    totals: Counter[str] = Counter()
    low: list[tuple[int, str, int]] = []
    for number in range(parts):
        said = json.loads(plan.store.read(tally_name(step, number)))
        totals.update(said["totals"])
        candidates = ((order_of(row), row, number) for row in said["low"])
        low = heapq.nsmallest(most, (*low, *candidates))
    wanted: dict[int, list[str]] = {}
    for _, row, number in low:
        wanted.setdefault(number, []).append(row)
    tables = [
        columns_for(plan, step.base, step.reads, number, pa.array(rows, pa.string()))
        for number, rows in sorted(wanted.items())
    ]
    return by_id(pa.concat_tables(tables)) if tables else None, dict(sorted(totals.items()))


def assign(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Give each row of a part its group."""
    assert isinstance(stage, Survey)
    name = f"{step.folder}/assigned/{part_name(task.number)}"
    if not plan.store.exists(name):
        table = input_table(plan, step, task.number)
        rows = rows_of(table, stage.reads, plan.store)
        groups = list(stage.assign(rows, plan.store.read(f"{step.folder}/fitted.bin")))
        bad = [g for g in groups if not GROUP.fullmatch(g)]
        if bad or len(groups) != len(rows):
            raise StageFailed(
                f"{type(stage).__name__}.assign gave {len(groups)} groups for {len(rows)} rows"
                + (f", among them {bad[0]!r}" if bad else ""),
                where=f"step {step.name}",
                remedy="one group per row, in order, named with letters, digits and -_.",
            )
        records = [{"id": i, "group": g} for i, g in zip(table["id"].to_pylist(), groups, strict=True)]
        row_counts = RowCounts(
            rows_in=len(rows), passed=len(rows), rows_out=len(rows), groups=dict(Counter(groups))
        )
        write_part(plan.store, name, table_of(records, _ASSIGNED), row_counts)
    groups_seen = read_row_counts(plan.store, name).groups or {}
    return Done(groups=tuple(sorted(groups_seen)))


def settle(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Work out the new columns of one group's rows."""
    assert isinstance(stage, Survey)
    name = f"{step.folder}/settled/{task.group}.parquet"
    if plan.store.exists(name):
        return Done()
    tables = []
    for number in _homes(plan.store, step.folder).get(task.group, ()):
        assigned = read_part(plan.store, f"{step.folder}/assigned/{part_name(number)}")
        ids = assigned.filter(pc.equal(assigned["group"], task.group))["id"].combine_chunks()
        table = columns_for(plan, step.base, step.reads, number, ids)
        tables.append(table.append_column("part", pa.array([number] * len(ids), pa.int64())))
    whole = by_id(pa.concat_tables(tables))
    rows = rows_of(whole, stage.reads, plan.store)
    given = list(stage.settle(task.group, rows, plan.store.read(f"{step.folder}/fitted.bin")))
    if len(given) != len(rows):
        raise StageFailed(
            f"{type(stage).__name__}.settle gave {len(given)} answers for {len(rows)} rows",
            where=f"step {step.name}, group {task.group}",
            remedy="`settle` gives one answer per row, in order; a row it cannot answer gets a `Reject`",
        )
    keep, rejects, kept = _Stored(plan.store, step.folder), dict[str, Answer](), []
    ids, parts = whole["id"].to_pylist(), whole["part"].to_pylist()
    for row, part, answer in zip(ids, parts, given, strict=True):
        if isinstance(answer, Reject):
            if stage.answers_all:
                raise StageFailed(
                    f"{type(stage).__name__}.settle rejected a row, though it says `answers_all`: {answer}",
                    where=f"step {step.name}, row {row}",
                    remedy="answer every row, or do not promise it",
                ) from answer
            rejects[row] = answer_of(answer)
        else:
            kept.append({"id": row, "part": part, **keep(record_of(answer))})
    schema = pa.schema([_ASSIGNED.field("id"), pa.field("part", pa.int64(), False), *schema_of(stage.adds)])
    number = min(parts, default=0)
    row_counts = RowCounts(
        rows_in=len(ids), passed=len(kept), rejected=len(rejects), rows_out=len(kept),
        rejects=write_rejects(plan.store, f"{step.folder}/settled", number, rejects_table(rejects)),
    )  # fmt: skip
    write_part(plan.store, name, table_of(kept, schema), row_counts)
    return Done(row_counts=row_counts)


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> Done:
    """Bring the new columns home: the rows of one part, in its order."""
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return Done(row_counts=read_row_counts(plan.store, name))
    assigned = read_part(plan.store, f"{step.folder}/assigned/{part_name(task.number)}")
    ids = assigned["id"].combine_chunks()
    found, rejects = [step.schema.empty_table()], dict[str, Answer]()
    for group in sorted(set(assigned["group"].to_pylist())):
        settled = f"{step.folder}/settled/{group}.parquet"
        rows = read_part(plan.store, settled)
        mine = rows.filter(pc.equal(rows["part"], task.number)).drop_columns(["part"])
        found.append(mine.replace_schema_metadata(None).cast(step.schema))
        aside = read_row_counts(plan.store, settled).rejects
        if aside:
            for row in read_part(plan.store, f"{step.folder}/settled/{aside}").to_pylist():
                refused = row.pop("id")
                rejects[refused] = Answer(**row)
    rejects = {row: rejects[row] for row in ids.to_pylist() if row in rejects}
    kept = ids.filter(pc.invert(pc.is_in(ids, value_set=pa.array(list(rejects), pa.string()))))
    rows = take(pa.concat_tables(found), kept).combine_chunks()
    row_counts = RowCounts(
        rows_in=len(ids),
        passed=rows.num_rows,
        rejected=len(rejects),
        rows_out=rows.num_rows,
        rejects=write_rejects(plan.store, step.folder, task.number, rejects_table(rejects)),
    )
    write_part(plan.store, name, rows, row_counts)
    return Done(row_counts=row_counts)


class _Stored:
    """Stores artifacts; one that several rows share is stored once."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self.seen: dict[int, Any] = {}
        self.alive: list[Any] = []

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        fresh = {name: value for name, value in record.items() if id(value) not in self.seen}
        for name, value in stored(fresh, self.store, self.folder).items():
            self.alive.append(record[name])  # an id() is only good while its object lives
            self.seen[id(record[name])] = value
        return {name: self.seen[id(value)] for name, value in record.items()}


def by_id(table: pa.Table) -> pa.Table:
    """A table in the order of its ids."""
    return table.take(pc.sort_indices(table, sort_keys=[("id", "ascending")])).combine_chunks()


@lru_cache(maxsize=8)
def _homes(store: Store, folder: str) -> dict[str, list[int]]:
    """The parts that each group has rows in. RunRequest once all parts are assigned."""
    found: dict[str, list[int]] = {}
    for number in parts_of(store, f"{folder}/assigned"):
        for group in read_row_counts(store, f"{folder}/assigned/{part_name(number)}").groups or {}:
            found.setdefault(group, []).append(number)
    return found
