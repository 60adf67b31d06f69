"""The input of one part of a step: the ids of the rows that reach it, and the columns that it reads.

Everything stays within parts of the same number. A row passed a step if its id is in the step's part.
A row passed a rule if it reached the rule and the rule did not drop it. Columns of a row's own table
are taken by id, which needs no search if no row was lost. Columns of its ancestors are found through
the `parent` column.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from manifests.manifest import read_manifest
from manifests.store import Store
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, count_rows, part_name, read_part
from pipeline.planning.plan import Plan, Step

Out = TypeVar("Out")

_REQUESTS = 16  # requests to a remote store at a time
_MAX_CACHED_COUNTS = 1 << 16  # parts
_MAX_CACHED_IDS = 16  # parts: each of several rules in a row needs the ids that passed the one before it


def input_ids(plan: Plan, step: Step, number: int) -> pa.Array:
    """The ids of the rows of part `number` that reach a step, in the order of their table."""
    return ids_in_all(plan, step.node.inputs, number)


def ids_in_all(plan: Plan, heads: Sequence[str], number: int) -> pa.Array:
    """The ids of the rows of a part that passed all steps in `heads`."""
    first, *rest = [passed_ids(plan, plan[head], number) for head in heads]
    for ids in rest:
        if not ids.equals(first):
            first = first.filter(pc.is_in(first, value_set=ids))
    return first


def input_count(plan: Plan, step: Step, number: int) -> int:
    """How many rows of part `number` reach a step, counted in the files of the store."""
    counts = [_cache.passed_count(plan, plan[head], number) for head in step.node.inputs]
    base = plan[plan[step.node.inputs[0]].base]
    if len(counts) == 1 or all(count == _cache.passed_count(plan, base, number) for count in counts):
        return counts[0]  # inputs that all pass every row pass the same rows
    return len(input_ids(plan, step, number))


def _passed_count(plan: Plan, step: Step, number: int) -> int:
    """How many rows of a part passed a step: for a rule, its input without dropped and rejected rows."""
    rows, row_counts = stored_counts(plan, step, number)
    if step.kind != "drops":
        return rows
    rejected = count_rows(plan.store, f"{step.folder}/{row_counts.rejects}")[0] if row_counts.rejects else 0
    return input_count(plan, step, number) - rows - rejected


def stored_counts(plan: Plan, step: Step, number: int) -> tuple[int, RowCounts]:
    """How many rows the part of a step holds, and its row counts."""
    return _cache.stored_counts(plan, step, number)


def load_counts(plan: Plan, step: Step, numbers: Sequence[int]) -> None:
    """Read at once what `input_count` of these parts needs: complete manifests, else files in parallel."""
    needed: dict[str, Step] = {}
    pending = [step]
    while pending:
        inputs = [plan[name] for name in pending.pop().node.inputs]
        pending += [each for each in inputs if each.kind == "drops" and each.name not in needed]
        needed |= {each.name: each for one in inputs for each in (one, plan[one.base])}
    for each in needed.values():
        missing = [number for number in numbers if not _cache.has_counts(plan, each, number)]
        manifest = read_manifest(plan.store, each.folder) if missing else None
        if manifest:
            found = [(part.number, (part.row_counts.rows_out, part.row_counts)) for part in manifest.parts]
        else:
            names = [f"{each.folder}/{part_name(number)}" for number in missing]
            counts = in_parallel(plan.store, partial(count_rows, plan.store), names)
            found = list(zip(missing, counts, strict=True))
        _cache.add_counts(plan, each, found)


def in_parallel(store: Store, read: Callable[[Any], Out], items: Sequence[Any]) -> list[Out]:
    """The results of a function that reads a file for each item; a remote store answers many at a time."""
    if isinstance(store, FolderStore):
        return [read(item) for item in items]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(read, items))


class _Cache(threading.local):
    """Recently read facts about parts of one plan: a few id arrays, many row counts. Parts never change."""

    plan: Plan | None = None
    ids: OrderedDict[tuple[str, int], pa.Array]
    row_counts: dict[tuple[str, int], tuple[int, RowCounts]]
    passed_counts: dict[tuple[str, int], int]

    def passed_ids(self, plan: Plan, step: Step, number: int) -> pa.Array:
        self._select(plan)
        key = step.folder, number
        ids = self.ids.pop(key, None)
        if ids is None:
            ids = _passed_ids(plan, step, number)
        self.ids[key] = ids
        while len(self.ids) > _MAX_CACHED_IDS:
            self.ids.popitem(last=False)
        return ids

    def passed_count(self, plan: Plan, step: Step, number: int) -> int:
        self._select(plan)
        key = step.folder, number
        if key not in self.passed_counts:
            self.passed_counts[key] = _passed_count(plan, step, number)
        return self.passed_counts[key]

    def stored_counts(self, plan: Plan, step: Step, number: int) -> tuple[int, RowCounts]:
        self._select(plan)
        key = step.folder, number
        if key not in self.row_counts:
            if len(self.row_counts) >= _MAX_CACHED_COUNTS:
                self.row_counts.clear()
            self.row_counts[key] = count_rows(plan.store, f"{step.folder}/{part_name(number)}")
        return self.row_counts[key]

    def has_counts(self, plan: Plan, step: Step, number: int) -> bool:
        self._select(plan)
        return (step.folder, number) in self.row_counts

    def add_counts(self, plan: Plan, step: Step, counts: Iterable[tuple[int, tuple[int, RowCounts]]]) -> None:
        self._select(plan)
        self.row_counts.update(((step.folder, number), found) for number, found in counts)

    def _select(self, plan: Plan) -> None:
        if self.plan is not plan:
            self.plan, self.ids, self.row_counts, self.passed_counts = plan, OrderedDict(), {}, {}


_cache = _Cache()


def passed_ids(plan: Plan, step: Step, number: int) -> pa.Array:
    """The ids of the rows of a part that a step kept."""
    return _cache.passed_ids(plan, step, number)


def _passed_ids(plan: Plan, step: Step, number: int) -> pa.Array:
    name = f"{step.folder}/{part_name(number)}"
    if step.kind != "drops":
        base = plan[step.base]
        if step is not base and stored_counts(plan, step, number)[0] == stored_counts(plan, base, number)[0]:
            return passed_ids(plan, base, number)  # all rows of the table, in its order
        return _read_ids(plan, name)
    removed = [_read_ids(plan, name)]
    rejects = stored_counts(plan, step, number)[1].rejects
    if rejects:
        removed.append(_read_ids(plan, f"{step.folder}/{rejects}"))
    ids = input_ids(plan, step, number)
    return ids.filter(pc.invert(pc.is_in(ids, value_set=pa.concat_arrays(removed))))


def _read_ids(plan: Plan, name: str) -> pa.Array:
    return read_part(plan.store, name, ["id"]).column("id").combine_chunks()


def read_columns(plan: Plan, base: str, reads: Mapping[str, str], number: int, ids: pa.Array) -> pa.Table:
    """The columns `reads` (name to the step that adds it) of the rows `ids` of `base`, and `id`."""
    found: dict[str, pa.ChunkedArray] = {"id": pa.chunked_array([ids])}
    by_author: dict[str, list[str]] = {}
    for column, author in reads.items():
        if column != "id":
            by_author.setdefault(author, []).append(column)
    ids_by_table = {base: ids}  # the ids of these rows and of their ancestors, by table
    for author, columns in by_author.items():
        ancestors = _ancestor_ids(plan, base, plan[author].base, number, ids_by_table)
        part = read_part(plan.store, f"{plan[author].folder}/{part_name(number)}", ["id", *columns])
        rows = take_rows(part, ancestors)
        found |= {column: rows.column(column) for column in columns}
    return pa.table({name: found[name] for name in dict.fromkeys(("id", *reads))})


def input_table(plan: Plan, step: Step, number: int) -> pa.Table:
    """All columns that a step reads, of the rows of part `number` that reach it."""
    base = plan[step.node.inputs[0]].base
    return read_columns(plan, base, step.reads, number, input_ids(plan, step, number))


def take_rows(part: pa.Table, ids: pa.Array) -> pa.Table:
    """The rows of a part with these ids, in the order of `ids`. The part holds every id."""
    part_ids = part.column("id").combine_chunks()
    if part_ids.equals(ids):
        return part
    return part.take(pc.index_in(ids, value_set=part_ids))


def _ancestor_ids(
    plan: Plan, base: str, table: str, number: int, ids_by_table: dict[str, pa.Array]
) -> pa.Array:
    """The ids in `table` of the ancestors of the rows in `base`. Adds what it finds to `ids_by_table`."""
    current = base
    while table not in ids_by_table:
        step = plan[current]
        part = read_part(plan.store, f"{step.folder}/{part_name(number)}", ["id", "parent"])
        parents = take_rows(part, ids_by_table[current]).column("parent")
        ids_by_table[step.parents] = parents.combine_chunks()
        current = step.parents
    return ids_by_table[table]
