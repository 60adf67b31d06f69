"""The results of a run in the report: loss curves, sampled videos, and the files of surveys and models."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from manifests.table import part_name, read_part
from pipeline.history.formatting import printable
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.report.markup import Html, el, join, table
from pipeline.report.run_reader import RunReader

_STORE_PATH = "../../"  # from runs/<run>/ to the store
_MAX_CURVE_BYTES = 8_000_000
_MAX_VIDEO_BYTES = 4_000_000  # of all videos that the page contains
_MAX_VIDEOS, _MAX_FILES, _MAX_POINTS = 4, 20, 600
_WIDTH_PX, _HEIGHT_PX = 640, 200
StoredFile = Mapping[str, Any]


def curves(reader: RunReader) -> Html:
    """The section of loss curves: one for each training step with a `curve` (JSON lines: step, loss)."""
    shown = []
    for step, artifact in _artifacts(reader, "curve"):
        points = _points(reader.history, artifact)
        if len(points) > 1:
            shown += [el("h3", step.name), _plot(points)]
    return el("section", el("h2", "Loss"), *shown) if shown else Html("")


def videos(reader: RunReader) -> Html:
    """The section of sampled videos. Small ones are embedded; the page links to the others."""
    shown = []
    left_bytes = _MAX_VIDEO_BYTES
    for step, artifact in list(_artifacts(reader, "video"))[:_MAX_VIDEOS]:
        path, size = str(artifact["path"]), int(artifact["size_bytes"])
        source = _link(path)
        if path.endswith(".mp4") and size < left_bytes and reader.history.store.exists(path):
            left_bytes -= size
            source = f"data:video/mp4;base64,{base64.b64encode(reader.history.store.read(path)).decode()}"
        video = el("video", src=source, controls="", loop="", muted="", preload="metadata")
        shown.append(el("figure", video, el("figcaption", f"{step.name} ", _anchor(path))))
    return el("section", el("h2", "Sampled"), el("div", *shown, class_="stills")) if shown else Html("")


def files(reader: RunReader) -> Html:
    """The section of files: shards, models and tables."""
    shown: list[Html] = []
    for step in reader.history:
        names = [c["name"] for c in step.columns if _is_artifact(c)]
        if step.kind not in ("survey", "model") or not names:
            continue
        sizes = {a["path"]: a["size_bytes"] for name in names for _, a in _artifacts(reader, name, step)}
        rows: list[tuple[object, ...]] = [
            (_anchor(p), f"{size:,} bytes") for p, size in sorted(sizes.items())
        ]
        more = f", {_MAX_FILES} of {len(rows)}" if len(rows) > _MAX_FILES else ""
        if rows:
            shown += [el("h3", f"{step.name}{more}"), table(("file", "size"), rows[:_MAX_FILES])]
    folders: list[tuple[object, ...]] = [(s.name, s.kind, _anchor(f"{s.folder}/")) for s in reader.history]
    every = el("details", el("summary", "all tables"), table(("step", "kind", "folder"), folders))
    return el("section", el("h2", "Files"), *shown, every)


def _artifacts(
    reader: RunReader, column: str, only: StepHistory | None = None
) -> Iterator[tuple[StepHistory, StoredFile]]:
    """Each file that a column of this name refers to, once, from some parts of the table."""
    paths = set()
    for step in [only] if only else reader.history:
        if not any(c["name"] == column and _is_artifact(c) for c in step.columns):
            continue
        for number in reader.some_parts(step):
            part = read_part(reader.history.store, f"{step.folder}/{part_name(number)}", [column])
            for artifact in part.column(column).to_pylist():
                if artifact and artifact["path"] not in paths:
                    paths.add(artifact["path"])
                    yield step, artifact


def _is_artifact(column: Mapping[str, Any]) -> bool:
    return str(column["type"]).startswith("struct<path:")


def _points(history: RunHistory, artifact: StoredFile) -> list[tuple[float, float]]:
    """Steps and losses of a curve, at most 600 points. Lines that hold no finite loss are skipped."""
    if artifact["size_bytes"] > _MAX_CURVE_BYTES or not history.store.exists(artifact["path"]):
        return []
    points = []
    for line in history.store.read(artifact["path"]).decode(errors="replace").splitlines():
        try:
            record = json.loads(line)
            step, loss = float(record["step"]), float(record["loss"])
        except (ValueError, KeyError, TypeError):
            continue
        if abs(loss) < float("inf"):
            points.append((step, loss))
    return points[:: max(1, -(-len(points) // _MAX_POINTS))]


def _plot(points: list[tuple[float, float]]) -> Html:
    """Plot the points as a line; the vertical axis is from the lowest to the highest loss."""
    (first, _), (last, _) = points[0], points[-1]
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    step_range, loss_range = (last - first) or 1.0, (high - low) or 1.0
    line = " ".join(
        f"{_WIDTH_PX * (step - first) / step_range:.1f},{_HEIGHT_PX * (high - loss) / loss_range:.1f}"
        for step, loss in points
    )
    curve = el("polyline", points=line, fill="none", stroke="currentColor", stroke_width="1.5")
    losses = f"loss {points[0][1]:.4g} first, {points[-1][1]:.4g} last, {low:.4g} lowest"
    caption = el("figcaption", f"step {first:g} to {last:g}; {losses}")
    box = f"-4 -4 {_WIDTH_PX + 8} {_HEIGHT_PX + 8}"
    return el("figure", el("svg", curve, viewBox=box, role="img", aria_label="loss curve"), caption)


def _anchor(path: str) -> Html:
    return join(el("a", printable(path), href=_link(path)))


def _link(path: str) -> str:
    return _STORE_PATH + quote(path)
