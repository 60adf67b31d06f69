"""The report of a run: one HTML file with its data, styles and scripts, which needs no network."""

import base64
import hashlib
import json
from html import escape
from importlib.resources import files as resources
from string import Template
from typing import Any

from manifests.runs.columns import clip_table
from pipeline.errors import PipelineError
from pipeline.history.formatting import printable
from pipeline.history.run_history import RUNS, RunHistory
from pipeline.report.clips import clips_data, rules_data, sample_clips, shown_columns
from pipeline.report.embedding_map import embedding_map
from pipeline.report.overview import funnel_data, knob_values, label, run_data, times_data
from pipeline.report.rejects import rejects_data
from pipeline.report.results import curves_data, files_data
from pipeline.report.results import videos_data as sampled_videos_data
from pipeline.report.run_reader import RunReader
from pipeline.report.videos import hours, sample_videos, video_table, videos_data

_STYLES = ("vendor/uPlot.min.css", "style.css", "parts.css")
_LIBRARY = "vendor/uPlot.iife.min.js"
_SCRIPTS = (
    "dom.js", "model.js", "plots.js", "cards.js", "overview.js", "thresholds.js", "clips.js", "table.js",
    "videos.js", "map.js", "results.js", "app.js",
)  # fmt: skip


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
    """Make the page. Its content-security policy allows only the styles and scripts that it contains."""
    styles = "\n".join(_read(name) for name in _STYLES)
    library, script = _read(_LIBRARY), _script()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(library)} {_digest(script)}",
            f"style-src {_digest(styles)}",
            "img-src data:",
            "media-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return Template(_read("page.html")).substitute(
        policy=escape(policy),
        title=escape(printable(f"{history.dag} {history.run}")),
        styles=styles,
        data=to_script_json(report_data(history)),
        library=library,
        script=script,
    )


def report_data(history: RunHistory) -> dict[str, Any]:
    """All data of the page, as JSON values. Parts without content are absent."""
    reader = RunReader(history)
    data: dict[str, Any] = {
        "run": run_data(history),
        "funnel": funnel_data(history),
        "times": times_data(history),
        "rejects": rejects_data(reader),
        "curves": curves_data(reader),
        "samples": sampled_videos_data(reader),
        "files": files_data(reader),
    }
    base = clip_table(history)
    if base is None:
        return data
    clips = sample_clips(reader, base, knob_values(history))
    parents = video_table(reader, base)
    videos = sample_videos(reader, parents, clips.sample) if parents else None
    labels = {step.name: label(step) for step in history}
    data["hours"] = hours(clips.sample, videos, labels)
    data["labels"] = labels
    data["clips"] = clips_data(reader, clips)
    data["rules"] = rules_data(clips.rules, clips.sample.outcomes)
    data["map"] = embedding_map(reader, clips.sample)
    if videos:
        data["videos"] = videos_data(videos, shown_columns(videos), clips.sample)
    return data


def to_script_json(data: Any) -> str:
    """JSON that cannot end the script element in which it stands."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _script() -> str:
    """The scripts of the page as one, inside a function, so that they define no global names."""
    return '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in _SCRIPTS) + "\n})();"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return resources("pipeline.report").joinpath("web", *name.split("/")).read_text(encoding="utf-8")
