"""What steps cost in earlier runs of a store, from the records of its runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.history.record import DONE, read_json
from pipeline.history.run_history import RUNS
from pipeline.planning.plan import Plan, Step

_MAX_RUNS = 8  # newest runs that are read


@dataclass(frozen=True)
class EarlierTimings:
    """The costs of steps in the newest runs of a store that executed these stages.

    Attributes:
        row_s: Worker-seconds for one processed row, by step; for a launch, its seconds.
        rates: Rows that a step passed on for each row that entered it, by step.
        workers: How many workers were busy at a time, on average.
        overhead_s: Seconds of a run in which no task ran, such as the start of Ray; the median.
        runs: Number of runs that timed a step.
        folders: Folder of the table that the newest of these runs had for a step.
    """

    row_s: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    workers: float = 1.0
    overhead_s: float = 0.0
    runs: int = 0
    folders: Mapping[str, str] = field(default_factory=dict)


def earlier_timings(plan: Plan) -> EarlierTimings:
    """Read what the steps of a plan cost in earlier runs of its store.

    The run of the plan itself does not count. A stage is found again by the names of its step and its class;
    a launch also by its settings, because its time depends on them.
    """
    seconds: dict[str, float] = {}
    rows: dict[str, float] = {}
    entered: dict[str, int] = {}
    left: dict[str, int] = {}
    busy_s = active_s = 0.0
    overheads: list[float] = []
    folders: dict[str, str] = {}
    for run in reversed([name for name in plan.store.names(RUNS) if name != plan.run][-_MAX_RUNS:]):
        timings = read_json(plan.store, run, "timings.json")
        spent: Mapping[str, float] = timings.get("busy_s", {})
        recorded = read_json(plan.store, run, "plan.json")
        same = _same_steps(plan, recorded)
        tables = {step["name"]: step["folder"] for step in recorded.get("steps", ())}
        folders = {**{step.name: tables[step.name] for step in same}, **folders}
        timed = [step for step in same if step.name in spent]
        funnel = {line["step"]: line for line in read_json(plan.store, run, "funnel.json").get("steps", ())}
        for step in same:
            line = funnel.get(step.name)
            if line and step.name not in entered:
                entered[step.name], left[step.name] = line["rows_in"], _rows_out(line)
        for step in timed:
            count = _timed_rows(step, timings, funnel)
            if count:
                seconds[step.name] = seconds.get(step.name, 0.0) + spent[step.name]
                rows[step.name] = rows.get(step.name, 0.0) + count
        if timed and "active_s" in timings:
            busy_s, active_s = busy_s + sum(spent.values()), active_s + timings["active_s"]
            overheads.append(max(timings["wall_s"] - timings["active_s"], 0.0))
    return EarlierTimings(
        row_s={name: seconds[name] / rows[name] for name in seconds},
        rates={name: left[name] / count for name, count in entered.items() if count},
        workers=busy_s / active_s if active_s else 1.0,
        overhead_s=sorted(overheads)[len(overheads) // 2] if overheads else 0.0,
        runs=len(overheads),
        folders=folders,
    )


def _same_steps(plan: Plan, recorded: Mapping[str, Any]) -> list[Step]:
    """The steps of a plan that an earlier run has under the same name, made by the same stage."""
    before = {step["name"]: step["made_by"] for step in recorded.get("steps", ())}
    same = []
    for step in plan:
        made_by, earlier = step.made_by(), before.get(step.name, {})
        is_same = made_by.get("stage") == earlier.get("stage")
        if step.kind == "model":  # JSON has lists where settings have tuples
            is_same = is_same and json.loads(json.dumps(made_by.get("settings"))) == earlier.get("settings")
        if is_same and earlier:
            same.append(step)
    return same


def _timed_rows(step: Step, timings: Mapping[str, Any], funnel: Mapping[str, Any]) -> float:
    """The number of rows whose work a run timed; a launch counts as one row."""
    if step.kind == "model":
        return 1.0 if timings["state"] == DONE else 0.0
    if step.kind == "survey":
        return float(funnel[step.name]["rows_in"]) if step.name in funnel else 0.0
    return float(timings.get("rows", {}).get(step.name, {}).get("processed", 0))


def _rows_out(line: Mapping[str, Any]) -> int:
    return int(line["rows_out"] if line["kind"] in ("source", "children", "model") else line["passed"])
