"""The life of one row: what was measured on it, step by step, and what became of it and why."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.compute as pc

from manifests.table import part_name, read_part, read_row_counts
from pipeline.history.find import Found, row_of
from pipeline.history.run_history import Past, PastStep

KEPT, DROPPED, REJECTED, WAITING, LOST = "kept", "dropped", "rejected", "not done yet", "lost"
_CHILDREN_SHOWN = 20


@dataclass(frozen=True)
class Event:
    """What one step did with a row.

    Attributes:
        fate: kept, dropped, rejected, not done yet, or, if the store is damaged, lost.
        why: the rule with the values that decided, the reason of a reject, or what a step made of it.
        values: the columns that the step added, each with its unit.
    """

    step: str
    fate: str
    why: str = ""
    values: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Life:
    """A row from the step that made it to its end.

    Attributes:
        parent: the life of the row it was made from, or None.
        children: the ids of rows made from it with their fate, by the step that made them.
    """

    found: Found
    events: tuple[Event, ...]
    parent: "Life | None" = None
    children: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Its fate in a sentence: what took it out, or how far it came."""
        for event in self.events:
            if event.fate in (DROPPED, REJECTED, LOST):
                return f"{event.fate} by {event.step}: {event.why}"
        waiting = [event.step for event in self.events if event.fate == WAITING]
        return f"kept so far; {waiting[0]} has not come to it yet" if waiting else "kept to the end"

    def plain(self) -> dict[str, Any]:
        """For machines."""
        said = {**asdict(self.found), "verdict": self.verdict, "events": [asdict(e) for e in self.events]}
        return {**said, "children": dict(self.children), "parent": self.parent and self.parent.plain()}


def life_of(past: Past, found: Found, *, family: bool = True) -> Life:
    """The life of a row, with that of its ancestors and the fates of its children."""
    events = tuple(_events(past, found))
    base = past[found.base]
    if not family:
        return Life(found, events)
    parent = None
    if base.parents:
        row = row_of(past, base, found)
        assert row is not None  # it was found there
        parent = life_of(past, Found(base.parents, found.part, str(row["parent"])), family=False)
        grand = past[base.parents]
        if grand.parents:
            parent = life_of(past, parent.found)
    return Life(found, events, parent, dict(_children(past, found)))


def _events(past: Past, found: Found) -> Iterator[Event]:
    """What each step did that the row came to."""
    here = past[found.base]
    yield Event(found.base, KEPT, f"made here, in part {found.part}", _values(past, here, found))
    fates = {found.base: KEPT}
    for step in past.works_on(found.base):
        if all(fates.get(name) == KEPT for name in step.inputs):
            event = _event(past, step, found)
            fates[step.name] = event.fate
            yield event


def _event(past: Past, step: PastStep, found: Found) -> Event:
    if step.kind == "model":
        return _learnt(past, step)
    name = f"{step.folder}/{part_name(found.part)}"
    if not past.store.exists(name):
        return Event(step.name, WAITING)
    rejects = read_row_counts(past.store, name).rejects
    if rejects:
        part = read_part(past.store, f"{step.folder}/{rejects}")
        for row in part.filter(pc.equal(part.column("id"), found.id)).to_pylist():
            return Event(
                step.name, REJECTED, row["reason"] + (f" ({row['detail']})" if row["detail"] else "")
            )
    if step.kind == "drops":
        row = row_of(past, step, found)
        if row:
            return Event(step.name, DROPPED, f"{row['rule']} ({row['value']}; kept is {row['where']})")
        return Event(step.name, KEPT, f"{step.rule} holds")
    if step.kind == "children":
        count = len(_ids_of_children(past, step, found))
        return Event(step.name, KEPT, f"{count:,} {'row was' if count == 1 else 'rows were'} made of it")
    row = row_of(past, step, found)
    if row is None:
        return Event(
            step.name, LOST, "its part stands and does not hold it; `clipmill manifest check` tells more"
        )
    return Event(step.name, KEPT, "", _with_units(step, row))


def _learnt(past: Past, step: PastStep) -> Event:
    """What a launch made of all rows, this one among them."""
    if not past.store.exists(f"{step.folder}/{part_name(0)}"):
        return Event(step.name, WAITING)
    row = read_part(past.store, f"{step.folder}/{part_name(0)}").to_pylist()[0]
    return Event(step.name, KEPT, "it was among the rows of", _with_units(step, row))


def _values(past: Past, step: PastStep, found: Found) -> dict[str, tuple[Any, str]]:
    return _with_units(step, row_of(past, step, found) or {})


def _with_units(step: PastStep, row: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    units = {str(c["name"]): str(c["unit"]) for c in step.columns}
    return {name: (value, units.get(name, "")) for name, value in row.items() if name not in ("id", "parent")}


def _children(past: Past, found: Found) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The rows made from a row, with their fates; the first few of them."""
    for step in past:
        if step.kind == "children" and step.parents == found.base:
            ids = _ids_of_children(past, step, found)
            lives = [
                life_of(past, Found(step.name, found.part, i), family=False) for i in ids[:_CHILDREN_SHOWN]
            ]
            if lives:
                yield step.name, tuple((life.found.id, life.verdict) for life in lives)


def _ids_of_children(past: Past, step: PastStep, found: Found) -> list[str]:
    name = f"{step.folder}/{part_name(found.part)}"
    if not past.store.exists(name):
        return []
    part = read_part(past.store, name, ["id", "parent"])
    ids: list[str] = part.filter(pc.equal(part.column("parent"), found.id)).column("id").to_pylist()
    return ids
