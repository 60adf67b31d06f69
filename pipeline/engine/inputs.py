"""The input of a step's part: which rows came through, and the columns it reads of them.

Everything is part-local. A row came through a step if its id stands in the step's part; through a
rule, if it came to the rule and is not among the dropped. Columns of a row's own table are taken
by id, which is a zip where no row was lost; columns of its parents through the `parent` column.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import RowCounts, count_rows, part_name, read_part
from pipeline.planning.plan import Plan, Step

_BOOKS = 1 << 16  # parts whose row_counts are remembered
_LATELY = 16  # answers that are remembered: rules in a row each ask what the one before them let pass


def input_ids(plan: Plan, step: Step, number: int) -> pa.Array:
    """The ids of the rows of part `number` that reach a step, in the order of their table."""
    return through_all(plan, step.node.inputs, number)


def through_all(plan: Plan, heads: Sequence[str], number: int) -> pa.Array:
    """The ids of the rows of a part that came through all of `heads`."""
    first, *rest = [through(plan, plan[head], number) for head in heads]
    for ids in rest:
        if not ids.equals(first):
            first = first.filter(pc.is_in(first, value_set=ids))
    return first


def input_count(plan: Plan, step: Step, number: int) -> int:
    """How many rows of part `number` reach a step, counted in the files that stand."""
    counts = [_lately.count(plan, plan[head], number) for head in step.node.inputs]
    base = plan[plan[step.node.inputs[0]].base]
    if len(counts) == 1 or all(count == _lately.count(plan, base, number) for count in counts):
        return counts[0]  # several that let all rows pass let the same pass
    return len(input_ids(plan, step, number))


def _count(plan: Plan, step: Step, number: int) -> int:
    """How many rows of a part left a step as kept; what a rule dropped and rejected had come to it."""
    rows, row_counts = said_of(plan, step, number)
    if step.kind != "drops":
        return rows
    aside = count_rows(plan.store, f"{step.folder}/{row_counts.rejects}")[0] if row_counts.rejects else 0
    return input_count(plan, step, number) - rows - aside


def said_of(plan: Plan, step: Step, number: int) -> tuple[int, RowCounts]:
    """How many rows stand in a part of a step, and its row_counts."""
    return _lately.said(plan, step, number)


class _Lately(threading.local):
    """What left parts of steps, as asked for lately in one plan: a few ids, more row_counts, all counts.

    No part changes.
    """

    plan: Plan | None = None
    found: OrderedDict[tuple[str, int], pa.Array]
    row_counts: dict[tuple[str, int], tuple[int, RowCounts]]
    counts: dict[tuple[str, int], int]

    def of(self, plan: Plan, step: Step, number: int) -> pa.Array:
        self._begin(plan)
        key = step.folder, number
        ids = self.found.pop(key, None)
        if ids is None:
            ids = _through(plan, step, number)
        self.found[key] = ids
        while len(self.found) > _LATELY:
            self.found.popitem(last=False)
        return ids

    def count(self, plan: Plan, step: Step, number: int) -> int:
        self._begin(plan)
        key = step.folder, number
        if key not in self.counts:
            self.counts[key] = _count(plan, step, number)
        return self.counts[key]

    def said(self, plan: Plan, step: Step, number: int) -> tuple[int, RowCounts]:
        self._begin(plan)
        key = step.folder, number
        if key not in self.row_counts:
            if len(self.row_counts) >= _BOOKS:
                self.row_counts.clear()
            self.row_counts[key] = count_rows(plan.store, f"{step.folder}/{part_name(number)}")
        return self.row_counts[key]

    def _begin(self, plan: Plan) -> None:
        if self.plan is not plan:
            self.plan, self.found, self.row_counts, self.counts = plan, OrderedDict(), {}, {}


_lately = _Lately()


def through(plan: Plan, step: Step, number: int) -> pa.Array:
    """The ids of the rows of a part that left a step as kept."""
    return _lately.of(plan, step, number)


def _through(plan: Plan, step: Step, number: int) -> pa.Array:
    name = f"{step.folder}/{part_name(number)}"
    if step.kind != "drops":
        base = plan[step.base]
        if step is not base and said_of(plan, step, number)[0] == said_of(plan, base, number)[0]:
            return through(plan, base, number)  # all of its rows, in its order
        return _ids(plan, name)
    gone = [_ids(plan, name)]
    rejects = said_of(plan, step, number)[1].rejects
    if rejects:
        gone.append(_ids(plan, f"{step.folder}/{rejects}"))
    came = input_ids(plan, step, number)
    return came.filter(pc.invert(pc.is_in(came, value_set=pa.concat_arrays(gone))))


def _ids(plan: Plan, name: str) -> pa.Array:
    return read_part(plan.store, name, ["id"]).column("id").combine_chunks()


def columns_for(plan: Plan, base: str, reads: Mapping[str, str], number: int, ids: pa.Array) -> pa.Table:
    """The columns `reads` (name to the step that adds it) of the rows `ids` of `base`, and `id`."""
    found: dict[str, pa.ChunkedArray] = {"id": pa.chunked_array([ids])}
    by_author: dict[str, list[str]] = {}
    for column, author in reads.items():
        if column != "id":
            by_author.setdefault(author, []).append(column)
    level = {base: ids}  # the ids of these rows' ancestors, by table
    for author, columns in by_author.items():
        home = plan[author].base
        at = _climb(plan, base, home, number, level)
        part = read_part(plan.store, f"{plan[author].folder}/{part_name(number)}", ["id", *columns])
        taken = take(part, at)
        found |= {column: taken.column(column) for column in columns}
    return pa.table({name: found[name] for name in dict.fromkeys(("id", *reads))})


def input_table(plan: Plan, step: Step, number: int) -> pa.Table:
    """All that a step reads of the rows of part `number` that reach it."""
    base = plan[step.node.inputs[0]].base
    return columns_for(plan, base, step.reads, number, input_ids(plan, step, number))


def take(part: pa.Table, ids: pa.Array) -> pa.Table:
    """The rows of a part with these ids, in their order. Every id is there."""
    have = part.column("id").combine_chunks()
    if have.equals(ids):
        return part
    return part.take(pc.index_in(ids, value_set=have))


def _climb(plan: Plan, base: str, home: str, number: int, level: dict[str, pa.Array]) -> pa.Array:
    """The ids, in the table `home`, of the rows whose ids in `base` are known."""
    here = base
    while home not in level:
        step = plan[here]
        part = read_part(plan.store, f"{step.folder}/{part_name(number)}", ["id", "parent"])
        level[step.parents] = take(part, level[here]).column("parent").combine_chunks()
        here = step.parents
    return level[home]
