"""The kinds of events and their fields; each has `time` (UTC, ISO 8601 with milliseconds) and `event` too."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

from manifests.table import RowCounts

_INT, _FLOAT, _TEXT = (int,), (float,), (str,)
_COUNTS = {
    "rows_in": _INT,  # rows that entered
    "passed": _INT,  # rows that the step kept
    "dropped": _INT,  # rows that a rule dropped
    "rejected": _INT,  # rows that the step refused as invalid
    "errors": _INT,  # rows on which the stage failed; rows_in = passed + dropped + rejected + errors
    "rows_out": _INT,  # rows of the table
}
_PART = {"step": _TEXT, "part": _INT}

# Kind: its fields with their types. Seconds are floats, and bytes are those written to the store.
EVENTS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "run_started": {"run": _TEXT, "dag": _TEXT, "recipe": _TEXT, "host": _TEXT, "pid": _INT},
    "run_ended": {"run": _TEXT, "state": _TEXT, "error": _TEXT, "seconds": _FLOAT},
    "step_started": {"step": _TEXT, "kind": _TEXT, "parts": (int, NoneType)},
    "step_ended": {"step": _TEXT, "parts": _INT, "seconds": _FLOAT, **_COUNTS},
    "part_finished": {**_PART, "seconds": (float, NoneType), "bytes": (int, NoneType), **_COUNTS},
    "rows_rejected": {**_PART, "rejected": _INT, "errors": _INT, "file": _TEXT},
    "row_crashed": {**_PART, "row": _TEXT, "reason": _TEXT},
    "task_finished": {"step": _TEXT, "phase": _TEXT, "task": _TEXT, "seconds": _FLOAT, "bytes": _INT},
    "step_paused": {"step": _TEXT, "reason": _TEXT},
    "step_resumed": {"step": _TEXT, "seconds": _FLOAT},
    "worker_started": {"step": _TEXT, "node": _TEXT, "seconds": _FLOAT},
    "worker_died": {"step": _TEXT, "task": _TEXT, "deaths": _INT, "reason": _TEXT},
    "node_joined": {"node": _TEXT, "cpus": _FLOAT},
    "node_left": {"node": _TEXT, "cpus": _FLOAT},
    "store_waited": {"seconds": _FLOAT},
    "warning": {"text": _TEXT},
}


def counts_of(counts: RowCounts) -> dict[str, int]:
    """Row counts as fields; here `rejected` leaves out `errors`, as in the funnel."""
    return {
        "rows_in": counts.rows_in,
        "passed": counts.passed,
        "dropped": counts.dropped,
        "rejected": counts.rejected - counts.errors,
        "errors": counts.errors,
        "rows_out": counts.rows_out,
    }


def differences(line: Mapping[str, Any]) -> list[str]:
    """How an event differs from its kind in `EVENTS`: unknown, missing and wrong fields."""
    kind = str(line.get("event"))
    if kind not in EVENTS:
        return [f"unknown event {kind!r}"]
    fields = {"time": _TEXT, "event": _TEXT, **EVENTS[kind]}
    found = [f"{kind} lacks {name}" for name in fields.keys() - line.keys()]
    found += [f"{kind} has no field {name}" for name in line.keys() - fields.keys()]
    return found + [
        f"{kind}.{name} is {line[name]!r}"
        for name, types in fields.items()
        if name in line and type(line[name]) not in types
    ]
