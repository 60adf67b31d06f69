"""Groups of surveys and comparisons in batches, so that reads do not grow with parts times groups.

FOLDER/members/part-000000   the members of a part's rows by batch; of a comparison, deleted at its end
FOLDER/settled/batch-0000    what was settled about the rows of a batch, by the part of the row

Both are bundles: a task that settles a batch reads one range of each part, and a task that makes a part reads
one range of each batch. There are 128 batches, or a quarter of the parts, and at most 4,096.
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.store import Store
from pipeline.engine.inputs import in_parallel
from pipeline.engine.steps.groups.bundle import read_bundle, write_bundle
from pipeline.planning.plan import Plan, Step

MEMBERS = "members"  # folder of a table
GROUP, PART = "_group", "_part"  # columns of members and of settled rows
_MIN_BATCHES, _MAX_BATCHES = 128, 4096
_BATCH = "_batch"


def members_name(step: Step, number: int) -> str:
    return f"{step.folder}/{MEMBERS}/part-{number:06d}"


def settled_name(step: Step, batch: str) -> str:
    return f"{step.folder}/settled/{batch}"


def batch_count(parts: int) -> int:
    """The number of batches of a table of so many parts."""
    return min(max(parts // 4, _MIN_BATCHES), _MAX_BATCHES)


def write_members(plan: Plan, step: Step, number: int, members: pa.Table) -> None:
    """Write the members of a part, which have a column `GROUP`, by batch."""
    batches = batch_count(num_parts(plan, step))
    groups = pc.unique(members[GROUP])
    names = [f"batch-{zlib.crc32(group.encode()) % batches:04d}" for group in groups.to_pylist()]
    batch = pa.array(names, pa.string()).take(pc.index_in(members[GROUP], value_set=groups))
    write_bundle(
        plan.store, members_name(step, number), dict(slices(members.append_column(_BATCH, batch), _BATCH))
    )


def read_members(plan: Plan, step: Step, batch: str, parts: int) -> Iterator[tuple[str, pa.Table]]:
    """The members of each group of a batch, of the first `parts` parts, with a column `PART`; by id."""
    names = [members_name(step, number) for number in range(parts)]
    found = in_parallel(plan.store, partial(read_bundle, plan.store, key=batch), names)
    tables = [
        table.append_column(PART, pa.repeat(pa.scalar(number, pa.int32()), len(table)))
        for number, table in enumerate(found)
        if table is not None
    ]
    members = pa.concat_tables(tables).sort_by("id")
    del found, tables
    yield from slices(members, GROUP)


def slices(table: pa.Table, column: str) -> Iterator[tuple[Any, pa.Table]]:
    """The rows with each value of a column, without it. Values ascend; rows keep their order."""
    table = table.take(pc.sort_indices(table, sort_keys=[(column, "ascending")])).combine_chunks()
    runs = pc.run_end_encode(table[column].combine_chunks())
    rest, start = table.drop_columns([column]), 0
    for value, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield value, rest.slice(start, end - start)
        start = end


def num_parts(plan: Plan, step: Step) -> int:
    """How many parts were tallied. Call it after the phase "tally"."""
    return _num_files(plan.store, f"{step.folder}/tally")


@lru_cache(maxsize=64)
def _num_files(store: Store, folder: str) -> int:
    return len(store.names(folder))
