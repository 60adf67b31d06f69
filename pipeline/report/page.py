"""Puts the report of a run together: one HTML page that needs nothing beside it."""

from collections.abc import Mapping
from importlib.resources import files as resources
from string import Template
from typing import Any

from pipeline.errors import PipelineError
from pipeline.history.record import read_json
from pipeline.history.run_history import RUNS, Past
from pipeline.history.wording import printable
from pipeline.report.funnel import funnel
from pipeline.report.looking import Looker
from pipeline.report.made import curves, files, videos
from pipeline.report.markup import Html, el, join, text
from pipeline.report.rejects import rejects
from pipeline.report.stills import stills

_LONGEST = 2000  # characters of a line of the head


def write_report(past: Past) -> str:
    """Write runs/<run>/report.html, over one that stands, and say where it is.

    Raises:
        PipelineError: the store has tables and no recorded run.
    """
    if not past.run:
        raise PipelineError(
            "no run is recorded in this store, so there is nothing to report on",
            where=past.store.url,
            remedy="run a recipe in it",
        )
    name = f"{RUNS}/{past.run}/report.html"
    past.store.replace(name, render(past).encode("utf-8", "replace"))
    return f"{past.store.url}/{name}"


def render(past: Past) -> str:
    """The page. What a run lacks is left out."""
    look = Looker(past)
    body = join(
        _header(past),
        funnel(past),
        stills(look),
        rejects(look),
        curves(look),
        videos(look),
        files(look),
    )
    page = Template(resources("pipeline.report").joinpath("page.html").read_text(encoding="utf-8"))
    return page.substitute(title=text(f"{past.dag} {past.run}"), body=body)


def _header(past: Past) -> Html:
    asked, timings = (read_json(past.store, past.run, f"{name}.json") for name in ("asked", "timings"))
    said = {
        "recipe": asked.get("recipe", ""),
        "knobs": _words(asked.get("knobs", {})),
        "run": past.run,
        "state": " ".join(filter(None, [timings.get("state"), timings.get("error")])),
        "took": f"{timings.get('wall_s', 0):,.0f} s",
        "store": past.store.url,
        "code": asked.get("commit", "")[:12],
        "with": _words({"python": asked.get("python", ""), **asked.get("packages", {})}),
    }
    rows = [
        el("div", el("dt", name), el("dd", printable(str(value), _LONGEST)))
        for name, value in said.items()
        if value
    ]
    return el("header", el("h1", past.dag), el("dl", *rows))


def _words(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
