"""The source videos of a run in the report: their columns, outcomes, and the clips made from them."""

import math
from collections.abc import Mapping
from typing import Any

from pipeline.history.run_history import StepHistory
from pipeline.report.clips import cell, outcome_columns
from pipeline.report.run_reader import RunReader
from pipeline.report.sample import DROPPED, FAILED, KEPT, REJECTED, Sample, part_numbers, sample_rows

MAX_VIDEOS = 3_000
_DURATIONS = ("video_duration_s", "duration_s", "scanned_s")
_NAMES = ("source", "uri", "name", "path")


def video_table(reader: RunReader, clips: StepHistory) -> StepHistory | None:
    """The step whose rows are the parents of the clips; None if the clips are made from nothing."""
    return reader.history[clips.parents] if clips.parents else None


def sample_videos(reader: RunReader, base: StepHistory, clips: Sample) -> Sample:
    """Sample the parts that the clips were sampled from, and all parts if these are few."""
    total = sum(count.rows_out for count in reader.row_counts(base.name).values())
    return sample_rows(reader, base, MAX_VIDEOS, None if total <= MAX_VIDEOS else part_numbers(clips))


def videos_data(videos: Sample, columns: list[dict[str, str]], clips: Sample) -> dict[str, Any]:
    """The videos as JSON values.

    Args:
        videos: The sampled videos.
        columns: The columns that are shown.
        clips: The sampled clips, whose `parents` are ids of videos.
    """
    at = {row.id: i for i, row in enumerate(videos.rows)}
    return {
        "base": videos.base.name,
        "total": videos.total,
        "id": [row.id for row in videos.rows],
        "name": [cell(video_name(videos, i)) for i in range(len(videos.rows))],
        "duration": [cell(duration(videos, i)) for i in range(len(videos.rows))],
        "columns": columns,
        "values": {c["name"]: [cell(v) for v in videos.values[c["name"]]] for c in columns},
        **outcome_columns(videos.outcomes),
        "of_clip": [at.get(parent, -1) for parent in clips.parents],
    }


def video_name(videos: Sample, row: int) -> str:
    """The name of a video: its path within the footage, its URL, or its id."""
    names = (videos.value(name, row) for name in _NAMES)
    return next((str(name) for name in names if name), videos.rows[row].id)


def duration(sample: Sample, row: int) -> float | None:
    """The duration of a video or clip in seconds, from the first column that has it."""
    start, end = (_finite(sample.value(name, row)) for name in ("start_s", "end_s"))
    if start is not None and end is not None:
        return end - start
    return next((v for v in (_finite(sample.value(n, row)) for n in _DURATIONS) if v is not None), None)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def hours(clips: Sample, videos: Sample | None, labels: Mapping[str, str]) -> dict[str, Any]:
    """Where the hours of the footage went.

    Args:
        clips: The sampled clips.
        videos: The sampled videos from which they were made.
        labels: What each step is called.

    Returns:
        `in`: hours of all videos that were probed. `out`: hours of kept clips. `flow`: for each outcome its
        kind, step, label, hours and number of rows. Sums of a sample are scaled to the whole table.
    """
    flow: dict[tuple[str, str, str], list[float]] = {}
    hours_in = 0.0
    for unit, sample in (("videos", videos), ("clips", clips)):
        if sample is None or not sample.rows:
            continue
        scale = sample.total / len(sample.rows) / 3600
        for row, outcome in enumerate(sample.outcomes):
            seconds = (duration(sample, row) or 0.0) * scale
            hours_in += seconds if unit == "videos" or videos is None else 0.0
            if unit == "videos" and outcome.kind not in (DROPPED, REJECTED, FAILED):
                continue  # its time is in its clips
            entry = flow.setdefault((outcome.kind, outcome.step, unit), [0.0, 0.0])
            entry[0] += seconds
            entry[1] += sample.total / len(sample.rows)
    parts: list[dict[str, Any]] = [
        {
            "kind": kind,
            "step": step,
            "unit": unit,
            "hours": hours,
            "rows": round(rows),
            "label": labels.get(step, step),
        }
        for (kind, step, unit), (hours, rows) in flow.items()
    ]
    rest = hours_in - sum(part["hours"] for part in parts)
    out = sum(part["hours"] for part in parts if part["kind"] == KEPT)
    estimated = not (clips.is_complete and (videos is None or videos.is_complete))
    return {"in": hours_in, "out": out, "rest": max(0.0, rest), "flow": parts, "estimated": estimated}
