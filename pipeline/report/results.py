"""The results of a run in the report: loss curves, sampled videos, and the files of surveys and models."""

import base64
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from manifests.table import part_name, read_part
from pipeline.history.formatting import printable
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.report.run_reader import RunReader

_STORE_PATH = "../../"  # from runs/<run>/ to the store
_MAX_CURVE_BYTES = 8_000_000
_MAX_VIDEO_BYTES = 3_000_000  # of all videos that the page contains
_MAX_VIDEOS, _MAX_FILES, _MAX_POINTS = 8, 50, 1000
_MAX_SERIES = 8  # of one curve
_X = "step"
StoredFile = Mapping[str, Any]


def curves_data(reader: RunReader) -> list[dict[str, Any]]:
    """The curve of each training step with a column `curve`: JSON lines with a `step` and other numbers."""
    curves = []
    for step, artifact in _artifacts(reader, "curve"):
        curve = _curve(reader.history, artifact)
        if curve:
            curves.append({"step": step.name, "file": _file(artifact), **curve})
    return curves


def videos_data(reader: RunReader) -> list[dict[str, Any]]:
    """The sampled videos. Small ones are in the page, which links to the others."""
    shown = []
    left_bytes = _MAX_VIDEO_BYTES
    for step, artifact in list(_artifacts(reader, "video"))[:_MAX_VIDEOS]:
        path, size = str(artifact["path"]), int(artifact["size_bytes"])
        data = ""
        if path.endswith((".mp4", ".webm")) and size < left_bytes and reader.history.store.exists(path):
            left_bytes -= size
            kind = path.rpartition(".")[2]
            data = f"data:video/{kind};base64,{base64.b64encode(reader.history.store.read(path)).decode()}"
        shown.append({"step": step.name, "data": data, "file": _file(artifact)})
    return shown


def files_data(reader: RunReader) -> dict[str, Any]:
    """The shards, models and tables of each survey and model; the folders of all tables."""
    steps = []
    for step in reader.history:
        names = [c["name"] for c in step.columns if _is_artifact(c)]
        if step.kind in ("survey", "model") and names:
            every = {a["path"]: a for name in names for _, a in _artifacts(reader, name, step)}
            shown = [_file(every[path]) for path in sorted(every)[:_MAX_FILES]]
            steps.append({"step": step.name, "count": len(every), "files": shown})
    folders = [{"step": s.name, "kind": s.kind, "link": _link(f"{s.folder}/")} for s in reader.history]
    return {"steps": [step for step in steps if step["count"]], "folders": folders}


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


def _curve(history: RunHistory, artifact: StoredFile) -> dict[str, Any] | None:
    """At most 1,000 points of each number of a curve; None if fewer than two lines have a step and a loss."""
    if artifact["size_bytes"] > _MAX_CURVE_BYTES or not history.store.exists(artifact["path"]):
        return None
    records = []
    for line in history.store.read(artifact["path"]).decode(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(record, dict)
            and _finite(record.get(_X)) is not None
            and _finite(record.get("loss")) is not None
        ):
            records.append(record)
    if len(records) < 2:
        return None
    records.sort(key=lambda record: float(record[_X]))
    shown = records[:: max(1, -(-len(records) // _MAX_POINTS))]
    names = list(dict.fromkeys(n for r in shown for n, v in r.items() if n != _X and _finite(v) is not None))
    names = sorted(names, key=lambda name: name != "loss")[:_MAX_SERIES]
    series = [{"name": printable(name), "y": [_finite(r.get(name)) for r in shown]} for name in names]
    return {"x": [_finite(record[_X]) for record in shown], "series": series, "points": len(records)}


def _finite(value: Any) -> float | None:
    """A number with six significant digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _file(artifact: StoredFile) -> dict[str, Any]:
    path = str(artifact["path"])
    return {"path": printable(path), "link": _link(path), "size_bytes": int(artifact["size_bytes"])}


def _link(path: str) -> str:
    return _STORE_PATH + quote(path)
