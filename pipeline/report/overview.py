"""The run in the report: its request, its funnel, and the time and rate of each step."""

from collections.abc import Mapping
from typing import Any

from pipeline.history.formatting import printable
from pipeline.history.funnel import funnel_lines
from pipeline.history.record import read_json
from pipeline.history.run_history import RunHistory, StepHistory

_MAX_CHARACTERS = 2000  # of a value


def run_data(history: RunHistory) -> dict[str, Any]:
    """What was run, with which knobs and versions, and how it ended."""
    request, timings = (
        read_json(history.store, history.run, f"{name}.json") for name in ("request", "timings")
    )
    descriptions = request.get("knob_descriptions", {})
    knobs = [
        {"text": _text(f"{name}={value}"), "description": _text(descriptions.get(name, ""))}
        for name, value in request.get("knobs", {}).items()
    ]
    versions = {"python": request.get("python", ""), **request.get("packages", {})}
    return {
        "dag": _text(history.dag),
        "run": history.run,
        "recipe": _text(request.get("recipe", "")),
        "knobs": knobs,
        "state": str(timings.get("state", "")),
        "error": _text(timings.get("error") or ""),
        "started": str(timings.get("started", "")),
        "ended": str(timings.get("ended") or ""),
        "wall_s": timings.get("wall_s") or 0,
        "store": _text(history.store.url),
        "notes": [_text(note) for note in history.notes],
        "waited": _waited(timings.get("overlap", {})),
        "commit": str(request.get("commit", ""))[:12],
        "versions": " ".join(f"{name} {version}" for name, version in versions.items() if version),
    }


def knob_values(history: RunHistory) -> dict[str, str]:
    """The values of all knobs of the recipe, as text: as set, else the recorded default."""
    request = read_json(history.store, history.run, "request.json")
    return {**request.get("knob_defaults", {}), **request.get("knobs", {})}


def funnel_data(history: RunHistory) -> list[dict[str, Any]]:
    """The row counts of each step. `quiet` marks a step that removed and made no rows."""
    lines = []
    for line in funnel_lines(history):
        makes_rows = line.kind in ("source", "children", "model")
        lost = line.dropped + line.rejected + line.errors
        lines.append(
            {
                "step": line.step,
                "kind": line.kind,
                "table": history[line.step].base,
                "label": label(history[line.step]),
                "description": printable(line.description),
                "in": line.rows_in,
                "passed": line.passed,
                "dropped": line.dropped,
                "rejected": line.rejected,
                "errors": line.errors,
                "out": line.rows_to_next,
                "quiet": line.complete and not (makes_rows or lost),
                "note": ""
                if line.complete
                else f"not finished: {line.parts} of {line.total_parts or '?'} parts",
            }
        )
    return lines


def times_data(history: RunHistory) -> list[dict[str, Any]]:
    """For each step with recorded work: worker time, rows that it processed in this run, and rows copied."""
    timings = read_json(history.store, history.run, "timings.json")
    rows, busy = timings.get("rows", {}), timings.get("busy_s", {})
    times = []
    for step in history:
        counts = rows.get(step.name, {})
        if step.name in busy or counts:
            # Barriers and rules record no processed rows: they process all that enter and are not copied.
            entered = sum(count.rows_in for count in history.row_counts(step.name).values())
            reused, resumed = int(counts.get("reused", 0)), int(counts.get("resumed", 0))
            times.append(
                {
                    "step": step.name,
                    "busy_s": round(float(busy.get(step.name, 0.0)), 3),
                    "processed": int(counts.get("processed", 0)) or max(0, entered - reused - resumed),
                    "reused": reused,
                }
            )
    return times


def label(step: StepHistory) -> str:
    """What a step is called in charts: the reason of a rule, the name of a stage."""
    return printable(str(step.made_by.get("because") or step.name))


def _waited(overlap: Mapping[str, Any]) -> str:
    """The share of its time that each part of a stage waited for the others."""
    return "; ".join(
        f"{step}: " + ", ".join(f"{part} {share:.0%}" for part, share in parts["waited_share"].items())
        for step, parts in overlap.items()
    )


def _text(value: object) -> str:
    return printable(str(value), _MAX_CHARACTERS)
