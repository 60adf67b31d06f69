"""The shots of many videos, computed on columns: the same values as `FindShots.expand` of each video."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.shots.boundary import MIN_DISTANCE, Boundary, select_boundaries
from stages.shots.shot import Shot

MAX_EXACT = 2.0**53  # integers up to this one are exact as float64
NEAR_LIMIT = 1 - 1e-9  # of the maximum duration: durations this close need the exact integers of `expand`


def find_shots(
    rows: pa.Table, min_cut_score: float, min_transition_score: float, max_duration_s: float
) -> pa.Table:
    """Find the shots of all videos that do not need their signals.

    Returns:
        A table with `row`, the index of the video, and the columns of `Shot`. Missing are videos with a shot
        to be split, with a jump of the clock, with a change of the picture format, or with integers that
        float64 does not hold.
    """
    lists = {name: rows.column(f"boundary_{name}").combine_chunks() for name in _LISTS}
    count = pc.list_value_length(lists["starts"]).to_numpy()
    kinds = lists["kinds"].flatten().dictionary_encode()
    names = [*kinds.dictionary.to_pylist(), "shot"]
    candidates = {name: column.flatten().to_numpy() for name, column in lists.items() if name != "kinds"}
    candidates |= {"kinds": kinds.indices.to_numpy(), "row": np.repeat(np.arange(len(count)), count)}
    selected = _select(candidates, names, min_cut_score, min_transition_score)
    boundaries = {name: column[selected] for name, column in candidates.items()}
    videos = {name: rows.column(name).to_numpy() for name in _VIDEO_COLUMNS}
    spans = _spans(boundaries, videos, len(names) - 1)
    return _table(spans, videos, names, max_duration_s, _excluded(rows))


_LISTS = ("starts", "ends", "start_pts", "end_pts", "kinds", "scores")
_VIDEO_COLUMNS = (
    "scanned_frames", "scanned_end_pts", "first_pts", "time_base_num", "time_base_den", "video_width_px",
    "video_height_px",
)  # fmt: skip


def _excluded(rows: pa.Table) -> np.ndarray:
    """Return the indices of the videos with a jump of the clock or a change of the picture format."""
    lists = [rows.column(name) for name in ("clock_jumps", "format_changes") if name in rows.column_names]
    counts = sum((pc.list_value_length(values).to_numpy() for values in lists), np.zeros(rows.num_rows))
    return np.flatnonzero(counts)


def _select(
    candidates: dict[str, np.ndarray], names: Sequence[str], min_cut_score: float, min_transition_score: float
) -> np.ndarray:
    """Return the indices of the selected candidates; where some touch, `select_boundaries` decides."""
    min_scores = np.array([min_cut_score if name == "cut" else min_transition_score for name in names])
    high = np.flatnonzero(candidates["scores"] >= min_scores[candidates["kinds"]])
    row, start, end = (candidates[name][high] for name in ("row", "starts", "ends"))
    touch = (row[1:] == row[:-1]) & (start[1:] <= np.maximum(end, start)[:-1] + MIN_DISTANCE)
    touched = np.isin(row, row[1:][touch])
    selected = [high[~touched]]
    for video in np.unique(row[touched]):
        here = high[slice(*np.searchsorted(row, [video, video + 1]))].tolist()
        values = (candidates[name][here].tolist() for name in ("starts", "ends", "kinds", "scores"))
        indices = {
            Boundary(s, e, names[kind], score): at
            for at, s, e, kind, score in zip(here, *values, strict=True)
        }
        boundaries = select_boundaries(indices, min_cut_score, min_transition_score)
        selected.append(np.array([indices[boundary] for boundary in boundaries], np.int64))
    return np.sort(np.concatenate(selected))


def _spans(
    boundaries: dict[str, np.ndarray], videos: dict[str, np.ndarray], shot: int
) -> dict[str, np.ndarray]:
    """Return alternating shots and transitions of each video, some of them empty.

    The columns are `row`, `kind` (`shot` is the number of the kind "shot"), and start and end in frames and
    in pts.
    """
    video_count, row = len(videos["first_pts"]), boundaries["row"]
    count = np.bincount(row, minlength=video_count)
    first = np.concatenate([[0], np.cumsum(2 * count + 1)])
    last = first[1:] - 1
    between = 2 * np.arange(len(row)) + row + 1
    total = int(first[-1])
    spans = {name: np.empty(total, np.int64) for name in ("start", "end", "start_pts", "end_pts")}
    spans |= {"row": np.repeat(np.arange(video_count), 2 * count + 1), "kind": np.full(total, shot)}
    spans["kind"][between] = boundaries["kinds"]
    for suffix, video_start, start, end, video_end in (
        ("", np.zeros(video_count, np.int64), "starts", "ends", "scanned_frames"),
        ("_pts", videos["first_pts"], "start_pts", "end_pts", "scanned_end_pts"),
    ):
        starts, ends = spans[f"start{suffix}"], spans[f"end{suffix}"]
        starts[first[:-1]], ends[last] = video_start, videos[video_end]
        ends[between - 1] = starts[between] = boundaries[start]
        ends[between] = starts[between + 1] = boundaries[end]
    return spans


def _table(
    spans: dict[str, np.ndarray],
    videos: dict[str, np.ndarray],
    names: Sequence[str],
    max_duration_s: float,
    excluded: np.ndarray,
) -> pa.Table:
    """Return the spans as a table with the columns of `Shot`, without those of videos left to `expand`.

    `excluded` are videos that are left to it in any case.
    """
    row, is_shot = spans["row"], spans["kind"] == len(names) - 1
    num, den = (videos[name].astype(float)[row] for name in ("time_base_num", "time_base_den"))
    origin = videos["first_pts"][row]
    ticks = [spans["start_pts"] - origin, spans["end_pts"] - origin, spans["end_pts"] - spans["start_pts"]]
    seconds = [each * num / den for each in ticks]
    has_frames = spans["end"] > spans["start"]
    not_exact = spans["end"] < spans["start"]
    not_exact |= (np.abs(ticks).max(axis=0) * num >= MAX_EXACT) | (den >= MAX_EXACT)
    not_exact |= is_shot & (seconds[2] > max_duration_s * NEAR_LIMIT) if max_duration_s else False
    index = np.cumsum(is_shot & has_frames)
    previous = np.concatenate([[0], index])[np.searchsorted(row, row)]  # shots of the videos before
    index = np.maximum(index - previous - 1, 0)
    kept = has_frames & ~np.isin(row, row[not_exact]) & ~np.isin(row, excluded)
    zeros = np.zeros(int(kept.sum()), np.int64)
    frames = [spans["start"], spans["end"], spans["end"] - spans["start"]]
    kinds = pa.DictionaryArray.from_arrays(pa.array(spans["kind"][kept]), pa.array(names)).cast(pa.string())
    columns = [row, spans["start_pts"], spans["end_pts"], *frames, *seconds]
    columns += [videos["video_width_px"][row], videos["video_height_px"][row]]
    return pa.table(
        [
            *(pa.array(column[kept]) for column in columns),
            kinds,
            pa.array(index[kept]),
            pa.array(zeros),
            pa.array(zeros + 1),
        ],
        names=["row", *Shot.names()],
    )
