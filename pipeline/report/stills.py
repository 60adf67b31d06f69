"""Stills of rows that were kept and of rows that each rule dropped, with the values that the rule read.

The column `strip` holds JPEGs one after the other; `strip_times_s` and `strip_offsets` locate each still. A
row with `start_s` and `end_s` shows the still nearest to the middle of its span.
"""

import base64
from collections.abc import Iterable, Iterator
from itertools import islice

from manifests.table import part_name, read_part
from pipeline.errors import PipelineError
from pipeline.history.find import RowLocation, find_row
from pipeline.history.formatting import printable, round_fractions
from pipeline.history.run_history import StepHistory
from pipeline.report.markup import Html, el, join
from pipeline.report.run_reader import RunReader

_MAX_KEPT, _MAX_PER_RULE, _MAX_STILLS = 12, 6, 60
_MAX_BYTES = 200_000  # of one still


def stills(reader: RunReader) -> Html:
    """The section of stills; empty if no rows have stills."""
    bases = [step for step in reader.history if step.base == step.name and reader.author("strip", step.name)]
    if not bases:
        return Html("")
    left = _MAX_STILLS - _MAX_KEPT
    shown = [_group("kept to the end", _kept_figures(reader, bases[-1]))]
    for base in bases:
        for rule in [step for step in reader.history.steps_on(base.name) if step.kind == "drops"]:
            figures = list(islice(_dropped_figures(reader, rule), min(_MAX_PER_RULE, left)))
            left -= len(figures)
            title = f"dropped by {rule.name}: {rule.made_by['because']} (the rule keeps {rule.rule})"
            shown.append(_group(title, figures))
    return el("section", el("h2", "Stills"), *shown)


def _group(title: str, figures: Iterable[Html]) -> Html:
    every = list(figures)
    return join(el("h3", title), el("div", *every, class_="stills")) if every else Html("")


def _kept_figures(reader: RunReader, base: StepHistory) -> Iterator[Html]:
    rows = list(islice(reader.kept_rows(base), 4 * _MAX_KEPT))
    for row in rows[:: max(1, len(rows) // _MAX_KEPT)][:_MAX_KEPT]:
        yield from _figure(reader, row, str(reader.value("caption", row) or ""))


def _dropped_figures(reader: RunReader, rule: StepHistory) -> Iterator[Html]:
    for number in reader.some_parts(rule):
        part = read_part(reader.history.store, f"{rule.folder}/{part_name(number)}", ["id", "value"])
        for record in part.slice(0, _MAX_PER_RULE).to_pylist():
            row = RowLocation(rule.base, number, record["id"])
            yield from _figure(reader, row, record["value"], _duplicate_of(reader, rule, row))


def _duplicate_of(reader: RunReader, rule: StepHistory, row: RowLocation) -> RowLocation | None:
    """For a rule about duplicates, the row of which the dropped row is a duplicate."""
    if "duplicate" not in rule.reads and "duplicate_of" not in rule.reads:
        return None
    better = reader.value("duplicate_of", row)
    try:
        return find_row(reader.history, better, row.base) if better else None
    except PipelineError:  # it belongs to an earlier release, in another store
        return None


def _figure(
    reader: RunReader, row: RowLocation, text: str, better: RowLocation | None = None
) -> Iterator[Html]:
    still = _still(reader, row)
    if still:
        source = printable(str(reader.value("source", row) or ""))
        other = _still(reader, better) if better else None
        images = [still, *([el("span", "duplicate of"), other] if other else [])]
        caption = el("figcaption", round_fractions(printable(text)), " ", el("code", row.id), " ", source)
        yield el("figure", *images, caption)


def _still(reader: RunReader, row: RowLocation) -> Html | None:
    jpeg = _jpeg(reader, row)
    if not jpeg:
        return None
    data = base64.b64encode(jpeg).decode()
    return el("img", src=f"data:image/jpeg;base64,{data}", alt=f"still of {row.id}", loading="lazy")


def _jpeg(reader: RunReader, row: RowLocation) -> bytes:
    """The still nearest to the middle of the span of a row, as JPEG; b"" if there is none."""
    strip, times, offsets = (reader.value(name, row) for name in ("strip", "strip_times_s", "strip_offsets"))
    if not strip or not times or not offsets:
        return b""
    start, end = reader.value("start_s", row), reader.value("end_s", row)
    middle = times[len(times) // 2] if start is None or end is None else (start + end) / 2
    at = min(range(len(times)), key=lambda i: abs(times[i] - middle))
    size = [*offsets[1:], strip["size_bytes"]][at] - offsets[at]
    if not 0 < size <= _MAX_BYTES:
        return b""
    try:
        return reader.history.store.read(strip["path"], offsets[at], size)
    except FileNotFoundError:
        return b""
