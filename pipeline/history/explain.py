"""The history of one row: what each step measured on it, and the outcome with its reason."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, read_part, read_row_counts
from pipeline.history.find import RowLocation, read_row
from pipeline.history.row_outcomes import RowOutcomes
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.rule import ALL

KEPT, DROPPED, REJECTED, PENDING, LOST = "kept", "dropped", "rejected", "not done yet", "lost"
_MAX_CHILDREN = 20


@dataclass(frozen=True)
class RowEvent:
    """What one step did with a row.

    Attributes:
        step: Name of the step.
        outcome: "kept", "dropped", "rejected", "not done yet", or "lost" if the store is damaged.
        reason: The rule with the values that it read, the reason of a reject, or what the step made.
        values: The values of the columns that the step added, each with its unit.
    """

    step: str
    outcome: str
    reason: str = ""
    values: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowHistory:
    """The history of a row, from the step that made it to the last step that processed it.

    Attributes:
        location: Where the row is.
        events: What each step did with it, in order.
        parent: The history of the row from which it was made, or None.
        children: The ids of the rows that were made from it with their summaries, by the step that made them.
        made: The outcomes of all rows that were made from it, directly or through other rows.
    """

    location: RowLocation
    events: tuple[RowEvent, ...]
    parent: "RowHistory | None" = None
    children: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    made: tuple[RowOutcomes, ...] = ()

    @property
    def summary(self) -> str:
        """The outcome of the row in one sentence."""
        for event in self.events:
            if event.outcome in (DROPPED, REJECTED, LOST):
                return f"{event.outcome} by {event.step}: {event.reason}"
        pending = [event.step for event in self.events if event.outcome == PENDING]
        if pending:
            return f"kept so far; {pending[0]} has not processed it yet"
        is_empty = any(not outcomes.kept for outcomes in self.made)
        kept = "kept, but nothing made from it is left" if is_empty else "kept to the end"
        return "; ".join([kept, *map(_made_text, self.made)])

    def as_dict(self) -> dict[str, Any]:
        """The history as JSON values."""
        events = [asdict(event) for event in self.events]
        parent = self.parent and self.parent.as_dict()
        own = {**asdict(self.location), "summary": self.summary, "events": events}
        made = [asdict(outcomes) for outcomes in self.made]
        return {**own, "children": dict(self.children), "made": made, "parent": parent}


def row_history(history: RunHistory, location: RowLocation, *, relatives: bool = True) -> RowHistory:
    """The history of a row; with `relatives`, also that of its ancestors and summaries of its children."""
    events = tuple(_events(history, location))
    base = history[location.base]
    made = tuple(_made(history, location.base, location.part, pa.array([location.id], pa.string())))
    if not relatives:
        return RowHistory(location, events, made=made)
    parent = None
    if base.parents:
        row = read_row(history, base, location)
        assert row is not None  # the location was found in this table
        parent_location = RowLocation(base.parents, location.part, str(row["parent"]))
        has_grandparent = bool(history[base.parents].parents)
        parent = row_history(history, parent_location, relatives=has_grandparent)
    return RowHistory(location, events, parent, dict(_children(history, location)), made)


def _events(history: RunHistory, location: RowLocation) -> Iterator[RowEvent]:
    """What each step did that the row entered."""
    base = history[location.base]
    values = _with_units(base, read_row(history, base, location) or {})
    yield RowEvent(location.base, KEPT, f"made here, in part {location.part}", values)
    outcomes = {location.base: KEPT}
    for step in history.steps_on(location.base):
        if all(outcomes.get(name) == KEPT for name in step.inputs):
            event = _event(history, step, location)
            outcomes[step.name] = event.outcome
            yield event


def _event(history: RunHistory, step: StepHistory, location: RowLocation) -> RowEvent:
    if step.kind == "model":
        return _model_event(history, step)
    name = f"{step.folder}/{part_name(location.part)}"
    if not history.store.exists(name):
        return RowEvent(step.name, PENDING)
    rejects = read_row_counts(history.store, name).rejects
    if rejects:
        part = read_part(history.store, f"{step.folder}/{rejects}")
        for row in part.filter(pc.equal(part.column("id"), location.id)).to_pylist():
            detail = f" ({row['detail']})" if row["detail"] else ""
            return RowEvent(step.name, REJECTED, row["reason"] + detail)
    if step.kind == "drops":
        row = read_row(history, step, location)
        if row:
            reason = f"{row['rule']} ({row['value']}; the rule keeps {row['where']})"
            return RowEvent(step.name, DROPPED, reason)
        return RowEvent(step.name, KEPT, _kept_by_rule(step))
    if step.kind == "children":
        count = len(_child_ids(history, step, location))
        return RowEvent(step.name, KEPT, f"{count:,} {'row was' if count == 1 else 'rows were'} made from it")
    row = read_row(history, step, location)
    if row is None:
        reason = "its part exists and does not contain it; run `clipmill manifest check` for details"
        return RowEvent(step.name, LOST, reason)
    return RowEvent(step.name, KEPT, "", _with_units(step, row))


def _kept_by_rule(step: StepHistory) -> str:
    across = step.made_by.get("across", "")
    if not across:
        return f"{step.rule} is true"
    rows = "each row" if step.made_by["when"] == ALL else "at least one row"
    return f"{step.rule} is true for {rows} of its {across}"


def _model_event(history: RunHistory, step: StepHistory) -> RowEvent:
    """The event of a launch, which used all rows together."""
    name = f"{step.folder}/{part_name(0)}"
    if not history.store.exists(name):
        return RowEvent(step.name, PENDING)
    row = read_part(history.store, name).to_pylist()[0]
    return RowEvent(step.name, KEPT, "it was one of the input rows", _with_units(step, row))


def _with_units(step: StepHistory, row: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    units = {str(c["name"]): str(c["unit"]) for c in step.columns}
    return {name: (value, units.get(name, "")) for name, value in row.items() if name not in ("id", "parent")}


def _children(
    history: RunHistory, location: RowLocation
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The first children of a row with their summaries, by the step that made them."""
    for step in history:
        if step.kind == "children" and step.parents == location.base:
            ids = _child_ids(history, step, location)[:_MAX_CHILDREN]
            locations = [RowLocation(step.name, location.part, each) for each in ids]
            children = [row_history(history, each, relatives=False) for each in locations]
            if children:
                yield step.name, tuple((child.location.id, child.summary) for child in children)


def _made(history: RunHistory, base: str, part: int, parents: pa.Array) -> Iterator[RowOutcomes]:
    """The outcomes of all rows that were made from some rows, table by table."""
    for step in history:
        name = f"{step.folder}/{part_name(part)}"
        if step.kind != "children" or step.parents != base or not history.store.exists(name):
            continue
        table = read_part(history.store, name, ["id", "parent"])
        ids = table.filter(pc.is_in(table["parent"], value_set=parents))["id"].combine_chunks()
        kept = ids
        removed: dict[str, list[int]] = {}  # by rule or stage: rows dropped, rejected, failed on
        for later in history.steps_on(step.name):
            if history.store.exists(f"{later.folder}/{part_name(part)}"):
                counts = read_row_counts(history.store, f"{later.folder}/{part_name(part)}")
                removed[later.name] = []
                for found in history.removed_ids(later.name, part, counts):
                    gone = pc.is_in(kept, value_set=pa.array(found, pa.string()))
                    removed[later.name] += [pc.sum(gone).as_py() or 0]
                    kept = kept.filter(pc.invert(gone))
        by_outcome = ({n: c[i] for n, c in removed.items() if c[i]} for i in (0, 1, 2))
        yield RowOutcomes(step.name, len(ids), len(kept), *by_outcome)
        yield from _made(history, step.name, part, ids)


def _made_text(made: RowOutcomes) -> str:
    """The outcomes of the rows that a step made: "find_shots made 3 rows, 1 kept (2 dropped by frozen)"."""
    if not made.rows:
        return f"{made.base} made no row from it"
    removed = made.removed()
    rows = "1 row" if made.rows == 1 else f"{made.rows:,} rows"
    outcomes = f" ({', '.join(removed)})" if removed else ""
    return f"{made.base} made {rows}, {made.kept:,} kept{outcomes}"


def _child_ids(history: RunHistory, step: StepHistory, location: RowLocation) -> list[str]:
    name = f"{step.folder}/{part_name(location.part)}"
    if not history.store.exists(name):
        return []
    part = read_part(history.store, name, ["id", "parent"])
    ids: list[str] = part.filter(pc.equal(part.column("parent"), location.id)).column("id").to_pylist()
    return ids
