"""Stills of rows that were kept, and of rows that each rule dropped, with the values that decided.

A still is cut from the column `strip` (JPEGs one after the other) by `strip_times_s` and
`strip_offsets`; a row with `start_s` and `end_s` shows the middle of its span.
"""

import base64
from collections.abc import Iterable, Iterator
from itertools import islice

from manifests.table import part_name, read_part
from pipeline.errors import PipelineError
from pipeline.history.find import Found, find
from pipeline.history.run_history import PastStep
from pipeline.history.wording import printable, rounded
from pipeline.report.looking import Looker
from pipeline.report.markup import Html, el, join

_KEPT, _PER_RULE, _ALL = 12, 6, 60
_LARGEST = 200_000  # bytes of one still


def stills(look: Looker) -> Html:
    """The section; empty where no rows have stills."""
    bases = [step for step in look.past if step.base == step.name and look.author("strip", step.name)]
    if not bases:
        return Html("")
    left = _ALL - _KEPT
    shown = [_strip_of("kept to the end", _kept(look, bases[-1]))]
    for base in bases:
        for rule in [step for step in look.past.works_on(base.name) if step.kind == "drops"]:
            figures = list(islice(_dropped(look, rule), min(_PER_RULE, left)))
            left -= len(figures)
            title = f"dropped by {rule.name}: {rule.made_by['because']} (kept is {rule.rule})"
            shown.append(_strip_of(title, figures))
    return el("section", el("h2", "Stills"), *shown)


def _strip_of(title: str, figures: Iterable[Html]) -> Html:
    found = list(figures)
    return join(el("h3", title), el("div", *found, class_="stills")) if found else Html("")


def _kept(look: Looker, base: PastStep) -> Iterator[Html]:
    rows = list(islice(look.kept(base), 4 * _KEPT))
    for row in rows[:: max(1, len(rows) // _KEPT)][:_KEPT]:
        yield from _figure(look, row, str(look.value("caption", row) or ""))


def _dropped(look: Looker, rule: PastStep) -> Iterator[Html]:
    for number in look.some_parts(rule):
        part = read_part(look.past.store, f"{rule.folder}/{part_name(number)}", ["id", "value"])
        for record in part.slice(0, _PER_RULE).to_pylist():
            row = Found(rule.base, number, record["id"])
            yield from _figure(look, row, record["value"], _twin(look, rule, row))


def _twin(look: Looker, rule: PastStep, row: Found) -> Found | None:
    """The row that a duplicate is a duplicate of, for a rule about duplicates."""
    if "duplicate" not in rule.reads and "twin" not in rule.reads:
        return None
    twin = look.value("twin", row)
    try:
        return find(look.past, twin, row.base) if twin else None
    except PipelineError:  # an earlier store shipped it
        return None


def _figure(look: Looker, row: Found, said: str, twin: Found | None = None) -> Iterator[Html]:
    picture = _picture(look, row)
    if picture:
        source = printable(str(look.value("source", row) or ""))
        beside = _picture(look, twin) if twin else None
        pictures = [picture, *([el("span", "its twin"), beside] if beside else [])]
        caption = el("figcaption", rounded(printable(said)), " ", el("code", row.id), " ", source)
        yield el("figure", *pictures, caption)


def _picture(look: Looker, row: Found) -> Html | None:
    jpeg = _jpeg(look, row)
    if not jpeg:
        return None
    data = base64.b64encode(jpeg).decode()
    return el("img", src=f"data:image/jpeg;base64,{data}", alt=f"a still of {row.id}", loading="lazy")


def _jpeg(look: Looker, row: Found) -> bytes:
    """The still nearest to the middle of a row's span; b"" if there is none."""
    strip, times, offsets = (look.value(name, row) for name in ("strip", "strip_times_s", "strip_offsets"))
    if not strip or not times or not offsets:
        return b""
    start, end = look.value("start_s", row), look.value("end_s", row)
    middle = times[len(times) // 2] if start is None or end is None else (start + end) / 2
    at = min(range(len(times)), key=lambda i: abs(times[i] - middle))
    size = [*offsets[1:], strip["size_bytes"]][at] - offsets[at]
    if not 0 < size <= _LARGEST:
        return b""
    try:
        return look.past.store.read(strip["path"], offsets[at], size)
    except FileNotFoundError:
        return b""
