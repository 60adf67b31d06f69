"""The funnel as bars: how many of the rows that entered a step were kept, dropped, rejected, or failed."""

from pipeline.history.funnel import FunnelLine, funnel_lines
from pipeline.history.run_history import RunHistory
from pipeline.report.markup import Html, el


def funnel(history: RunHistory) -> Html:
    """The section of the funnel."""
    lines = funnel_lines(history)
    rows_by_step = {line.step: line.rows_out for line in lines}
    rows = []
    for line in lines:
        total = rows_by_step.get(history.input_table(history[line.step])) or line.rows_out or 1
        rows.append(
            el(
                "tr",
                el("td", line.step, title=line.description, class_="name"),
                el("td", _bar(line, total), class_="bar"),
                el(
                    "td",
                    f"{line.rows_to_next:,}" + (" new" if line.kind in ("children", "model") else ""),
                    class_="n",
                ),
                el("td", f"{line.dropped:,} dropped" if line.dropped else "", class_="n"),
                el("td", f"{line.rejected:,} rejected" if line.rejected else "", class_="n"),
                el("td", f"{line.errors:,} errors" if line.errors else "", class_="n"),
                el("td", _note(line)),
            )
        )
    return el("section", el("h2", "Funnel"), el("table", *rows, class_="funnel"))


def _bar(line: FunnelLine, total: int) -> Html:
    kept = line.rows_out if line.kind == "source" else line.passed
    shares = (
        ("kept", kept),
        ("dropped", line.dropped),
        ("rejected", line.rejected),
        ("errors", line.errors),
    )
    cells = [
        el("i", class_=name, style=f"width:{100 * count / total:.2f}%", title=f"{count:,} {name}")
        for name, count in shares
        if count
    ]
    return el("div", *cells)


def _note(line: FunnelLine) -> str:
    if not line.complete:
        return f"not finished: {line.parts} of {line.total_parts or '?'} parts"
    return line.description if line.kind == "drops" else ""
