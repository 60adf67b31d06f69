"""Survey stages: tally each part, fit once, assign rows to groups, settle each group, and make the parts.

FOLDER/tally/part-000000.json     totals of a part, and its candidates for the sample
FOLDER/fitted.bin                 the result of `fit`
FOLDER/assigned/part-000000…      id and group of each row; the footer counts rows per group
FOLDER/settled/GROUP.parquet      the new columns of a group's rows, with the part of each row
FOLDER/members/, settled/batch-…  the rows of groups, and the same results by part: see `groups.batches`
"""

import heapq
import json
import re
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.identity import shuffle_key
from manifests.schema import record_of, rows_of, schema_of, table_of
from manifests.store import Store
from manifests.table import (
    RowCounts,
    part_name,
    read_part,
    read_row_counts,
    write_part,
    write_rejects,
)
from pipeline.engine.inputs import in_parallel, input_table, read_columns, take_rows
from pipeline.engine.journal import RowResult
from pipeline.engine.missing_files import artifact_columns
from pipeline.engine.repair import restore, rows_without_files
from pipeline.engine.steps.groups.batches import (
    GROUP,
    PART,
    members_name,
    num_parts,
    read_members,
    settled_name,
    slices,
    write_members,
)
from pipeline.engine.steps.groups.bundle import names_in_bundle, read_bundle, write_bundle
from pipeline.engine.steps.groups.equal_groups import equal_group, group_key, with_key
from pipeline.engine.steps.storing import rejects_table, result_from_error, save_artifacts
from pipeline.engine.task import Task, TaskResult, WorkCounts
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Reject, Stage, Survey

_ASSIGNED = pa.schema([pa.field("id", pa.string(), False), pa.field("group", pa.string(), False)])
_REJECTS = "rejects-"  # before the number of the part, in bundles of settled rows
GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def tally(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Count a part, and write down its rows that may be in the sample: those whose ids hash lowest."""
    assert isinstance(stage, Survey)
    name = tally_name(step, task.number)
    if plan.store.exists(name):
        return TaskResult()
    table = input_table(plan, step, task.number)
    rows = rows_of(table, stage.reads, plan.store)
    write_tally(plan, name, dict(stage.tally(rows)), table.column("id").to_pylist(), stage.sample)
    return TaskResult()


def tally_name(step: Step, number: int) -> str:
    return f"{step.folder}/tally/part-{number:06d}.json"


def write_tally(plan: Plan, name: str, totals: dict[str, int], ids: list[str], sample: int) -> None:
    """Write the tally of a part: its totals, and the ids that hash lowest."""
    part_tally = {"totals": totals, "low": heapq.nsmallest(sample, ids, key=shuffle_key)}
    plan.store.create(name, json.dumps(part_tally, sort_keys=True).encode())


def fit(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Sum the totals, read the sample, and fit the stage to them."""
    assert isinstance(stage, Survey)
    if plan.store.exists(f"{step.folder}/fitted.bin"):
        return TaskResult()
    sample, totals = read_sample(plan, step, task.number, stage.sample)
    rows = rows_of(sample, stage.reads, plan.store) if sample else []
    plan.store.create(f"{step.folder}/fitted.bin", stage.fit(rows, totals))
    return TaskResult()


def read_sample(plan: Plan, step: Step, parts: int, max_rows: int) -> tuple[pa.Table | None, dict[str, int]]:
    """The rows of all parts whose ids hash lowest, sorted by id, and the sums of the totals."""
    totals: Counter[str] = Counter()
    lowest: list[tuple[int, str, int]] = []
    for number, text in enumerate(
        in_parallel(plan.store, plan.store.read, [tally_name(step, number) for number in range(parts)])
    ):
        part_tally = json.loads(text)
        totals.update(part_tally["totals"])
        lowest += [(shuffle_key(row), row, number) for row in part_tally["low"]]
        if len(lowest) > 4 * max_rows or number == parts - 1:  # seldom, because it sorts
            lowest = heapq.nsmallest(max_rows, lowest)
    rows_by_part: dict[int, list[str]] = {}
    for _, row, number in lowest:
        rows_by_part.setdefault(number, []).append(row)
    tables = [
        read_columns(plan, step.base, step.reads, number, pa.array(rows, pa.string()))
        for number, rows in sorted(rows_by_part.items())
    ]
    return sort_by_id(pa.concat_tables(tables)) if tables else None, dict(sorted(totals.items()))


def assign(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Assign each row of a part to a group."""
    assert isinstance(stage, Survey)
    name = members_name(step, task.number)
    if not plan.store.exists(name):
        table = input_table(plan, step, task.number)
        rows = rows_of(table, stage.reads, plan.store)
        groups = list(stage.assign(rows, plan.store.read(f"{step.folder}/fitted.bin")))
        bad = [g for g in groups if not GROUP_NAME.fullmatch(g)]
        if bad or len(groups) != len(rows):
            raise StageFailed(
                f"{type(stage).__name__}.assign returned {len(groups)} groups for {len(rows)} rows"
                + (f", with the invalid name {bad[0]!r}" if bad else ""),
                where=f"step {step.name}",
                remedy="return one group per row, in order; use letters, digits and -_. in a group name",
            )
        assigned = pa.table([table["id"], pa.array(groups, pa.string())], schema=_ASSIGNED)
        row_counts = RowCounts(
            rows_in=len(rows), passed=len(rows), rows_out=len(rows), groups=dict(Counter(groups))
        )
        write_part(plan.store, _assigned(step, task.number), assigned, row_counts)
        write_members(plan, step, task.number, table.append_column(GROUP, assigned["group"]))
    return TaskResult(groups=names_in_bundle(plan.store, name))


def settle(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Compute the new columns of the rows of each group of a batch, and write them by part."""
    assert isinstance(stage, Survey)
    name = settled_name(step, task.group)
    if plan.store.exists(name) and not artifact_columns(step):
        return TaskResult()
    fitted = plan.store.read(f"{step.folder}/fitted.bin")
    row_counts, work, by_part = RowCounts(), WorkCounts(), dict[str, list[pa.Table]]()
    for group, whole in read_members(plan, step, task.group, num_parts(plan, step)):
        result = _settle_group(plan, step, stage, group, whole, fitted)
        row_counts, work = row_counts + (result.row_counts or RowCounts()), work + result.work
        file = f"{step.folder}/settled/{group}.parquet"
        for number, rows in slices(read_part(plan.store, file), "part"):
            by_part.setdefault(f"{number}", []).append(rows.replace_schema_metadata(None))
        rejects_file = read_row_counts(plan.store, file).rejects
        if rejects_file:
            rejects = read_part(plan.store, f"{step.folder}/settled/{rejects_file}")
            parts = whole[PART].take(pc.index_in(rejects["id"], value_set=whole["id"].combine_chunks()))
            for number, rows in slices(rejects.append_column(PART, parts), PART):
                by_part.setdefault(f"{_REJECTS}{number}", []).append(rows.replace_schema_metadata(None))
    write_bundle(plan.store, name, {key: pa.concat_tables(tables) for key, tables in by_part.items()})
    return TaskResult(row_counts=row_counts, work=work)


def _settle_group(
    plan: Plan, step: Step, stage: Survey[Any, Any], group: str, whole: pa.Table, fitted: bytes
) -> TaskResult:
    """Write the new columns of a group's rows. If they exist, make files again that were deleted."""
    name = f"{step.folder}/settled/{group}.parquet"
    if plan.store.exists(name):
        return _restore_files(plan, step, stage, group, whole, fitted)
    schema = pa.schema([_ASSIGNED.field("id"), pa.field("part", pa.int64(), False), *schema_of(stage.adds)])
    key = group_key(step, stage, group, whole, fitted)
    reused = equal_group(plan, step, group, key, whole, schema)
    if reused is not None:
        row_counts = RowCounts(rows_in=len(whole), passed=len(whole), rows_out=len(whole))
        write_part(plan.store, name, with_key(reused, key), row_counts)
        return TaskResult(row_counts=row_counts, work=WorkCounts(reused=len(whole)))
    rows = rows_of(whole, stage.reads, plan.store)
    results = list(stage.settle(group, rows, fitted))
    if len(results) != len(rows):
        raise StageFailed(
            f"{type(stage).__name__}.settle returned {len(results)} results for {len(rows)} rows",
            where=f"step {step.name}, group {group}",
            remedy="`settle` yields one result per row, in order; yield `Reject` for a row that has none",
        )
    artifacts, rejects, kept = _SharedArtifacts(plan.store, step.folder), dict[str, RowResult](), []
    ids, parts = whole["id"].to_pylist(), whole[PART].to_pylist()
    for row, part, result in zip(ids, parts, results, strict=True):
        if isinstance(result, Reject):
            if stage.never_rejects:
                raise StageFailed(
                    f"{type(stage).__name__}.settle rejected a row despite `never_rejects`: {result}",
                    where=f"step {step.name}, row {row}",
                    remedy="return columns for every row, or remove `never_rejects`",
                ) from result
            rejects[row] = result_from_error(result)
        else:
            kept.append({"id": row, "part": part, **artifacts.save(record_of(result))})
    number = min(parts, default=0)
    row_counts = RowCounts(
        rows_in=len(ids), passed=len(kept), rejected=len(rejects), rows_out=len(kept),
        rejects=write_rejects(plan.store, f"{step.folder}/settled", number, rejects_table(rejects)),
    )  # fmt: skip
    write_part(plan.store, name, with_key(table_of(kept, schema), key), row_counts)
    return TaskResult(row_counts=row_counts)


def _restore_files(
    plan: Plan, step: Step, stage: Survey[Any, Any], group: str, whole: pa.Table, fitted: bytes
) -> TaskResult:
    """Write the missing files of a group whose rows are settled."""
    lacking = rows_without_files(plan, step, f"{step.folder}/settled/{group}.parquet")
    if lacking:
        rows = rows_of(whole, stage.reads, plan.store)
        results = stage.settle(group, rows, fitted)
        made = zip(whole["id"].to_pylist(), results, strict=True)
        restore(plan, step, lacking, ((row, made) for row, made in made if not isinstance(made, Reject)))
    return TaskResult(work=WorkCounts(processed=len(lacking)))


def part(plan: Plan, step: Step, stage: Stage[Any, Any], task: Task) -> TaskResult:
    """Make one part of the table: the new columns of its rows, in the order of the part."""
    name = f"{step.folder}/{part_name(task.number)}"
    if plan.store.exists(name):
        return TaskResult(row_counts=read_row_counts(plan.store, name))
    ids = read_part(plan.store, _assigned(step, task.number), ["id"])["id"].combine_chunks()
    found, rejects = [step.schema.empty_table()], dict[str, RowResult]()
    for batch in names_in_bundle(plan.store, members_name(step, task.number)):
        settled = settled_name(step, batch)
        rows = read_bundle(plan.store, settled, f"{task.number}")
        found += [] if rows is None else [rows.cast(step.schema)]
        rejected = read_bundle(plan.store, settled, f"{_REJECTS}{task.number}")
        for record in [] if rejected is None else rejected.to_pylist():
            row = record.pop("id")
            rejects[row] = RowResult(**record)
    rejects = {row: rejects[row] for row in ids.to_pylist() if row in rejects}
    kept = ids.filter(pc.invert(pc.is_in(ids, value_set=pa.array(list(rejects), pa.string()))))
    rows = take_rows(pa.concat_tables(found), kept).combine_chunks()
    row_counts = RowCounts(
        rows_in=len(ids),
        passed=rows.num_rows,
        rejected=len(rejects),
        rows_out=rows.num_rows,
        rejects=write_rejects(plan.store, step.folder, task.number, rejects_table(rejects)),
    )
    write_part(plan.store, name, rows, row_counts)
    return TaskResult(row_counts=row_counts)


class _SharedArtifacts:
    """Saves artifacts in the store. An artifact that several rows share is saved once."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._saved: dict[int, Any] = {}  # by the id() of the value
        self._values: list[Any] = []  # references: an id() is only valid while its object exists

    def save(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with its artifacts saved."""
        new = {name: value for name, value in record.items() if id(value) not in self._saved}
        for name, value in save_artifacts(new, self.store, self.folder).items():
            self._values.append(record[name])
            self._saved[id(record[name])] = value
        return {name: self._saved[id(value)] for name, value in record.items()}


def sort_by_id(table: pa.Table) -> pa.Table:
    """The table sorted by id."""
    return table.take(pc.sort_indices(table, sort_keys=[("id", "ascending")])).combine_chunks()


def _assigned(step: Step, number: int) -> str:
    return f"{step.folder}/assigned/{part_name(number)}"
