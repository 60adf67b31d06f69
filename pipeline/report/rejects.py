"""Rows that were set aside, each with its reason and the file it came from."""

from manifests.table import read_part
from pipeline.history.find import Found
from pipeline.history.run_history import PastStep
from pipeline.history.wording import printable
from pipeline.report.looking import Looker
from pipeline.report.markup import Html, el, join, table

_SHOWN = 40  # rows of each step


def rejects(look: Looker) -> Html:
    """The section; empty where nothing was set aside."""
    shown = [_of_step(look, step) for step in look.past]
    return el("section", el("h2", "Set aside"), *shown) if any(shown) else Html("")


def _of_step(look: Looker, step: PastStep) -> Html:
    row_counts = {number: b for number, b in look.past.row_counts(step.name).items() if b.rejects}
    if not row_counts:
        return Html("")
    count = sum(b.rejected for b in row_counts.values())
    rows: list[tuple[object, ...]] = []
    for number, b in row_counts.items():
        if len(rows) >= _SHOWN:
            break
        for record in read_part(look.past.store, f"{step.folder}/{b.rejects}").to_pylist():
            row = Found(look.past.came_from(step), number, record["id"])
            source = look.value("source", row) or look.value("uri", row) or ""
            said = (record["reason"], record["detail"])
            rows.append((el("code", row.id), printable(str(source)), record["kind"], *map(printable, said)))
    more = f", the first {_SHOWN} of them" if count > _SHOWN else ""
    head = ("row", "from", "kind", "reason", "detail")
    return join(el("h3", f"{step.name}: {count:,}{more}"), table(head, rows[:_SHOWN]))
