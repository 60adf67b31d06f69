"""The funnel as bars: of the rows that came to a step, how many went on, were dropped or set aside."""

from pipeline.history.funnel import FunnelLine, lines_of
from pipeline.history.run_history import Past
from pipeline.report.markup import Html, el


def funnel(past: Past) -> Html:
    """The section."""
    lines = lines_of(past)
    made = {line.step: line.rows_out for line in lines}
    rows = []
    for line in lines:
        whole = made.get(past.came_from(past[line.step])) or line.rows_out or 1
        rows.append(
            el(
                "tr",
                el("td", line.step, title=line.says, class_="name"),
                el("td", _bar(line, whole), class_="bar"),
                el(
                    "td",
                    f"{line.left:,}" + (" new" if line.kind in ("children", "model") else ""),
                    class_="n",
                ),
                el("td", f"{line.dropped:,} dropped" if line.dropped else "", class_="n"),
                el("td", f"{line.rejected:,} set aside" if line.rejected else "", class_="n"),
                el("td", _note(line)),
            )
        )
    return el("section", el("h2", "Funnel"), el("table", *rows, class_="funnel"))


def _bar(line: FunnelLine, whole: int) -> Html:
    kept = line.rows_out if line.kind == "source" else line.passed
    shares = (("kept", kept), ("dropped", line.dropped), ("rejected", line.rejected))
    cells = [
        el("i", class_=name, style=f"width:{100 * count / whole:.2f}%", title=f"{count:,} {name}")
        for name, count in shares
        if count
    ]
    return el("div", *cells)


def _note(line: FunnelLine) -> str:
    if not line.whole:
        return f"not finished: {line.parts} of {'?' if line.of is None else line.of} parts"
    return line.says if line.kind == "drops" else ""
