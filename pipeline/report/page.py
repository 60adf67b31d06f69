"""The report of a run: one self-contained HTML page."""

from collections.abc import Mapping
from importlib.resources import files as resources
from string import Template
from typing import Any

from pipeline.errors import PipelineError
from pipeline.history.formatting import printable
from pipeline.history.record import read_json
from pipeline.history.run_history import RUNS, RunHistory
from pipeline.report.funnel import funnel
from pipeline.report.markup import Html, el, join, text
from pipeline.report.rejects import rejects
from pipeline.report.results import curves, files, videos
from pipeline.report.run_reader import RunReader
from pipeline.report.stills import stills

_MAX_CHARACTERS = 2000  # of a line of the header


def write_report(history: RunHistory) -> str:
    """Write runs/<run>/report.html, and replace an existing one. Returns its path or URL.

    Raises:
        PipelineError: the store has no recorded run.
    """
    if not history.run:
        raise PipelineError(
            "no run is recorded in this store, so there is no report",
            where=history.store.url,
            remedy="run a recipe first: clipmill run RECIPE store=DIR",
        )
    name = f"{RUNS}/{history.run}/report.html"
    history.store.replace(name, render(history).encode("utf-8", "replace"))
    return f"{history.store.url}/{name}"


def render(history: RunHistory) -> str:
    """Render the page. Sections without content are omitted."""
    reader = RunReader(history)
    body = join(
        _header(history),
        funnel(history),
        stills(reader),
        rejects(reader),
        curves(reader),
        videos(reader),
        files(reader),
    )
    page = Template(resources("pipeline.report").joinpath("page.html").read_text(encoding="utf-8"))
    return page.substitute(title=text(f"{history.dag} {history.run}"), body=body)


def _header(history: RunHistory) -> Html:
    request, timings = (
        read_json(history.store, history.run, f"{name}.json") for name in ("request", "timings")
    )
    values = {
        "recipe": request.get("recipe", ""),
        "knobs": _knobs(request.get("knobs", {}), request.get("knob_descriptions", {})),
        "run": history.run,
        "state": " ".join(filter(None, [timings.get("state"), timings.get("error")])),
        "took": f"{timings.get('wall_s', 0):,.0f} s",
        "waited": _waited(timings.get("overlap", {})),
        "store": history.store.url,
        "notes": "; ".join(history.notes),
        "code": request.get("commit", "")[:12],
        "versions": _assignments({"python": request.get("python", ""), **request.get("packages", {})}),
    }
    rows = [
        el(
            "div",
            el("dt", name),
            el("dd", value if isinstance(value, Html) else printable(str(value), _MAX_CHARACTERS)),
        )
        for name, value in values.items()
        if value
    ]
    return el("header", el("h1", history.dag), el("dl", *rows))


def _knobs(knobs: Mapping[str, Any], descriptions: Mapping[str, str]) -> Html:
    """The knobs that the user set, one per line, each with its description."""
    lines = []
    for name, value in knobs.items():
        description = (
            el("span", f" {printable(descriptions[name], _MAX_CHARACTERS)}") if name in descriptions else ""
        )
        lines += [el("code", printable(f"{name}={value}", _MAX_CHARACTERS)), text(description), el("br")]
    return join(*lines)


def _waited(overlap: Mapping[str, Any]) -> str:
    """The share of its time that each part of a stage waited for the others."""
    return "; ".join(
        f"{step}: " + ", ".join(f"{part} {share:.0%}" for part, share in parts["waited_share"].items())
        for step, parts in overlap.items()
    )


def _assignments(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
