"""What a run made for use elsewhere: loss curves, sampled videos, and the files of surveys and models."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from manifests.table import part_name, read_part
from pipeline.history.run_history import Past, PastStep
from pipeline.history.wording import printable
from pipeline.report.looking import Looker
from pipeline.report.markup import Html, el, join, table

_ABOVE = "../../"  # from runs/<run>/ to the store
_CURVE_BYTES, _VIDEO_BYTES, _VIDEOS, _FILES = 8_000_000, 4_000_000, 4, 20
_WIDTH, _HEIGHT, _POINTS = 640, 200, 600
Stored = Mapping[str, Any]


def curves(look: Looker) -> Html:
    """The loss over the steps of every training run that left a `curve` (JSON lines: step, loss)."""
    shown = []
    for step, artifact in _artifacts(look, "curve"):
        points = _points(look.past, artifact)
        if len(points) > 1:
            shown += [el("h3", step.name), _drawing(points)]
    return el("section", el("h2", "Loss"), *shown) if shown else Html("")


def videos(look: Looker) -> Html:
    """The videos that were sampled: inside the page where they are small, beside it elsewhere."""
    shown = []
    room = _VIDEO_BYTES
    for step, artifact in list(_artifacts(look, "video"))[:_VIDEOS]:
        path, size = str(artifact["path"]), int(artifact["size_bytes"])
        source = _link(path)
        if path.endswith(".mp4") and size < room and look.past.store.exists(path):
            room -= size
            source = f"data:video/mp4;base64,{base64.b64encode(look.past.store.read(path)).decode()}"
        video = el("video", src=source, controls="", loop="", muted="", preload="metadata")
        shown.append(el("figure", video, el("figcaption", f"{step.name} ", _anchor(path))))
    return el("section", el("h2", "Sampled"), el("div", *shown, class_="stills")) if shown else Html("")


def files(look: Looker) -> Html:
    """Where the shards, the model and the tables are."""
    shown: list[Html] = []
    for step in look.past:
        names = [c["name"] for c in step.columns if _is_artifact(c)]
        if step.kind not in ("survey", "model") or not names:
            continue
        found = {a["path"]: a["size_bytes"] for name in names for _, a in _artifacts(look, name, step)}
        rows: list[tuple[object, ...]] = [
            (_anchor(p), f"{size:,} bytes") for p, size in sorted(found.items())
        ]
        more = f", {_FILES} of {len(rows)}" if len(rows) > _FILES else ""
        if rows:
            shown += [el("h3", f"{step.name}{more}"), table(("file", "size"), rows[:_FILES])]
    folders: list[tuple[object, ...]] = [(s.name, s.kind, _anchor(f"{s.folder}/")) for s in look.past]
    every = el("details", el("summary", "all tables"), table(("step", "kind", "folder"), folders))
    return el("section", el("h2", "Files"), *shown, every)


def _artifacts(look: Looker, column: str, only: PastStep | None = None) -> Iterator[tuple[PastStep, Stored]]:
    """Each file that stands in a column of this name, once."""
    seen = set()
    for step in [only] if only else look.past:
        if not any(c["name"] == column and _is_artifact(c) for c in step.columns):
            continue
        for number in look.some_parts(step):
            part = read_part(look.past.store, f"{step.folder}/{part_name(number)}", [column])
            for artifact in part.column(column).to_pylist():
                if artifact and artifact["path"] not in seen:
                    seen.add(artifact["path"])
                    yield step, artifact


def _is_artifact(column: Mapping[str, Any]) -> bool:
    return str(column["type"]).startswith("struct<path:")


def _points(past: Past, artifact: Stored) -> list[tuple[float, float]]:
    """Steps and losses, thinned out; lines that say something else are passed over."""
    if artifact["size_bytes"] > _CURVE_BYTES or not past.store.exists(artifact["path"]):
        return []
    found = []
    for line in past.store.read(artifact["path"]).decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
            step, loss = float(said["step"]), float(said["loss"])
        except (ValueError, KeyError, TypeError):
            continue
        if abs(loss) < float("inf"):
            found.append((step, loss))
    return found[:: max(1, -(-len(found) // _POINTS))]


def _drawing(points: list[tuple[float, float]]) -> Html:
    """The points as a line from the lowest to the highest loss."""
    (first, _), (last, _) = points[0], points[-1]
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    across, up = (last - first) or 1.0, (high - low) or 1.0
    line = " ".join(
        f"{_WIDTH * (step - first) / across:.1f},{_HEIGHT * (high - loss) / up:.1f}" for step, loss in points
    )
    drawn = el("polyline", points=line, fill="none", stroke="currentColor", stroke_width="1.5")
    said = f"step {first:g} to {last:g}; loss {points[0][1]:.4g} at first, {points[-1][1]:.4g} at last, "
    caption = el("figcaption", f"{said}{low:.4g} at best")
    box = f"-4 -4 {_WIDTH + 8} {_HEIGHT + 8}"
    return el("figure", el("svg", drawn, viewBox=box, role="img", aria_label="loss curve"), caption)


def _anchor(path: str) -> Html:
    return join(el("a", printable(path), href=_link(path)))


def _link(path: str) -> str:
    return _ABOVE + quote(path)
