"""The clips of a run in the report: their columns, outcomes, rules, originals and pictures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.history.find import RowLocation, find_row
from pipeline.history.formatting import printable
from pipeline.history.run_history import StepHistory
from pipeline.report.pictures import Pictures
from pipeline.report.rules import Rule, borderline, rules_of
from pipeline.report.run_reader import RunReader
from pipeline.report.sample import DROPPED, KEPT, PENDING, Outcome, Sample, sample_rows

MAX_CLIPS = 10_000  # whose columns the report contains
_MAX_TEXT = 400  # characters of a text
_MAX_PER_GROUP, _MAX_KEPT, _MAX_STILLS = 32, 160, 640
_MAX_PREVIEWS_PER_GROUP, _MAX_PREVIEWS = 12, 120
_MAX_ORIGINALS = 24  # duplicates that are shown beside the clip that they repeat
_STILL_BYTES, _PREVIEW_BYTES = 8_000_000, 7_000_000  # of all pictures, in base64
_SIGNIFICANT_DIGITS = 6
_TICKS = ("_pts", "_num", "_den")  # ends of names of columns that mean nothing to a reader


@dataclass(frozen=True)
class Clips:
    """The sampled clips.

    Attributes:
        sample: The rows. The last `extra` ones were added because a duplicate in the sample repeats them.
        originals: The row of which each duplicate is one.
        rules: The rules on clips, with their answers.
    """

    sample: Sample
    extra: int
    originals: Mapping[int, int]
    rules: Sequence[Rule]


def sample_clips(reader: RunReader, base: StepHistory, knobs: Mapping[str, str]) -> Clips:
    """Sample the clips, and read their duplicates and rules."""
    sample = sample_rows(reader, base, MAX_CLIPS)
    count = len(sample.rows)
    originals = _originals(reader, sample)
    steps = reader.history.steps_on(base.name)
    for name in sorted({name for step in steps if step.kind == "drops" for name in step.reads}):
        author = reader.author(name, base.name)
        if name not in sample.values and author is not None:
            column = next(c for c in author.columns if c["name"] == name)
            sample.columns[name] = {**column, "step": author.name}
            sample.values[name] = [reader.value(name, row) for row in sample.rows]
    return Clips(sample, len(sample.rows) - count, originals, rules_of(sample, steps, knobs))


def clips_data(reader: RunReader, clips: Clips) -> dict[str, Any]:
    """Everything that the report contains about clips, as JSON values."""
    sample, rules, originals = clips.sample, clips.rules, clips.originals
    columns = shown_columns(sample)
    near = borderline(sample, rules)
    groups = _groups(sample, near, originals)
    pictures = Pictures(reader, _STILL_BYTES, _PREVIEW_BYTES)
    # Pictures are added until their bytes are used up. Originals first: both sides of a pair need a picture.
    pairs = list(originals.items())[:_MAX_ORIGINALS]
    pictures.add_stills(sample.rows, {row for pair in pairs for row in pair})
    for members in groups.values():
        pictures.add_stills(sample.rows, _spread(members, _MAX_PER_GROUP))
    pictures.add_stills(sample.rows, _spread(groups.get(KEPT, []), _MAX_KEPT))
    every = range(len(sample.rows))
    pictures.add_stills(sample.rows, _spread(every, max(0, _MAX_STILLS - len(pictures.stills))))
    for members in groups.values():
        with_still = [row for row in members if row in pictures.stills]
        pictures.add_previews(sample.rows, _spread(with_still, _MAX_PREVIEWS_PER_GROUP))
    rest = [row for row in pictures.stills if row not in pictures.previews]
    pictures.add_previews(sample.rows, _spread(rest, max(0, _MAX_PREVIEWS - len(pictures.previews))))
    return {
        "base": sample.base.name,
        "total": sample.total,
        "extra": clips.extra,
        "id": [row.id for row in sample.rows],
        "columns": columns,
        "values": {c["name"]: _values(sample, c["name"], rules) for c in columns},
        **outcome_columns(sample.outcomes),
        "borderline": near,
        "originals": [[row, original] for row, original in originals.items()],
        "stills": pictures.stills,
        "previews": pictures.previews,
    }


def rules_data(rules: Sequence[Rule], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The rules with their comparisons; the answers of rules of other forms, as one character per clip."""
    letters = {True: "1", False: "0", None: "-"}
    return [
        {
            "step": rule.step,
            "because": printable(rule.because),
            "where": printable(rule.where),
            "terms": [vars(term) for term in rule.terms],
            "answers": "" if rule.terms else "".join(letters[answer] for answer in rule.answers),
            "groups": list(rule.groups),
            "when": rule.when,
            "dropped": sum(o.kind == DROPPED and o.step == rule.step for o in outcomes),
        }
        for rule in rules
    ]


def cell(value: Any) -> Any:
    """A value as JSON: text without control characters, numbers with six significant digits."""
    match value:
        case bool() | int() | None:
            return value
        case float():
            return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return printable(" ".join(str(value).split()), _MAX_TEXT)


def _column(column: Mapping[str, Any]) -> dict[str, str]:
    kind = str(column["type"])
    names = {"int": "number", "uint": "number", "double": "number", "float": "number", "half": "number"}
    shown = next((name for start, name in names.items() if kind.startswith(start)), "text")
    texts = {name: str(column.get(name) or "") for name in ("name", "unit", "meaning", "step")}
    return {**texts, "type": "flag" if kind == "bool" else shown}


def shown_columns(sample: Sample) -> list[dict[str, str]]:
    """The columns that have a value and mean something to a reader."""
    return [
        _column(column)
        for name, column in sample.columns.items()
        if not name.endswith(_TICKS)
        and "sha256" not in name
        and any(value not in (None, "") for value in sample.values.get(name, ()))
    ]


def _values(sample: Sample, name: str, rules: Sequence[Rule]) -> list[Any]:
    """The values of a column; None if one is not finite. Rounding never moves one across a threshold."""
    terms = [term for rule in rules for term in rule.terms if term.column == name]
    shown = []
    for value in sample.values[name]:
        rounded = cell(value)
        moves = rounded is not None and any(t.passes(value) != t.passes(rounded) for t in terms)
        shown.append(value if moves else rounded)
    return shown


def outcome_columns(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The kinds of outcomes, the number of the kind of each row, and the reasons."""
    kinds = list(dict.fromkeys((outcome.kind, outcome.step) for outcome in outcomes))
    kinds.sort(key=lambda pair: (pair[0] != KEPT, pair[0] == PENDING))
    number = {pair: i for i, pair in enumerate(kinds)}
    return {
        "outcomes": [{"kind": kind, "step": step} for kind, step in kinds],
        "outcome": [number[outcome.kind, outcome.step] for outcome in outcomes],
        "reason": {i: cell(outcome.reason) for i, outcome in enumerate(outcomes) if outcome.reason},
    }


def _groups(sample: Sample, near: Sequence[int | None], originals: Mapping[int, int]) -> dict[str, list[int]]:
    """The rows of each group that the report shows."""
    groups: dict[str, list[int]] = {}
    for row, outcome in enumerate(sample.outcomes):
        groups.setdefault(outcome.step if outcome.kind != KEPT else KEPT, []).append(row)
        if near[row] is not None:
            groups.setdefault("borderline", []).append(row)
    groups["duplicates"] = [row for pair in originals.items() for row in pair]
    return groups


def _originals(reader: RunReader, sample: Sample) -> dict[int, int]:
    """The row of which each duplicate is one. A few that the sample lacks are looked up and added to it."""
    at = {row.id: i for i, row in enumerate(sample.rows)}
    better = sample.values.get("duplicate_of") or []
    pairs = {row: name for row, name in enumerate(better) if name}
    missing = [name for name in dict.fromkeys(pairs.values()) if name not in at]
    for name in [] if sample.is_complete else missing[:_MAX_ORIGINALS]:
        row = _find(reader, sample, name)
        if row is not None:
            at[name] = row
    return {row: at[name] for row, name in pairs.items() if name in at}


def _find(reader: RunReader, sample: Sample, name: str) -> int | None:
    """Add a row that the sample lacks; None if it is not in this store, as for a clip of another release."""
    try:
        found: RowLocation = find_row(reader.history, name, sample.base.name)
    except PipelineError:
        return None
    extra = sample_rows(reader, sample.base, MAX_CLIPS, [found.part])
    place = next((i for i, row in enumerate(extra.rows) if row.id == name), None)
    if place is None:
        return None
    sample.rows.append(extra.rows[place])
    sample.outcomes.append(extra.outcomes[place])
    sample.parents += extra.parents[place : place + 1]
    for column, values in sample.values.items():
        values.append(extra.value(column, place))
    return len(sample.rows) - 1


def _spread(items: Iterable[int], count: int) -> list[int]:
    """At most `count` evenly spaced items."""
    every = list(items)
    return every if len(every) <= count else [every[i * len(every) // count] for i in range(count)]
