"""Accuracy of a run of the demo: the outcome of each shot and file, compared with the known truth."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manifests.table import part_name, parts_of, read_part
from pipeline.history.run_history import RunHistory
from stages.footage.score import score_boundaries, score_clips
from stages.footage.truth import read_truth

MOTIONS = {  # column `camera` of MeasureMotion: motion of the generated camera
    "static": "fixed", "pan left": "pan", "pan right": "pan", "tilt up": "tilt", "tilt down": "tilt",
    "zoom in": "zoom", "zoom out": "zoom", "roll left": "roll", "roll right": "roll", "shake": "shake",
    "handheld": "wander",
}  # fmt: skip


def score_run(history: RunHistory, footage: Path) -> dict[str, Any]:
    """Score a run over generated films.

    Returns:
        {"boundaries": …, "clips": …} as `score_boundaries` and `score_clips` return them.
    """
    truth = read_truth(footage)
    videos = {row["id"]: row["source"] for row in _rows(history, "list_videos", ("id", "source"))}
    outcomes = _outcomes(history, "list_videos")
    bad = [row for row, outcome in outcomes.items() if outcome == "rejected"]
    clips: list[dict[str, Any]] = [{"source": videos[row], "outcome": "rejected"} for row in bad]
    cuts: dict[str, list[int]] = {source: [] for source in videos.values()}
    cameras = {row["id"]: row["camera"] for row in _rows(history, "measure_motion", ("id", "camera"))}
    outcomes = _outcomes(history, "find_shots")
    transition_ends: set[tuple[str, int]] = set()
    for shot in _rows(history, "find_shots", ("id", "parent", "start_frame", "end_frame", "piece", "kind")):
        source, start, end = videos[shot["parent"]], shot["start_frame"], shot["end_frame"]
        if shot["kind"] != "shot":
            transition_ends.add((source, end))
            cuts[source].append((start + end) // 2)
            continue
        if start and not shot["piece"] and (source, start) not in transition_ends:
            cuts[source].append(start)
        clip = {name: shot[name] for name in ("start_frame", "end_frame")}
        camera = MOTIONS.get(cameras.get(shot["id"], ""), "")
        clips.append(
            {**clip, "source": source, "outcome": outcomes.get(shot["id"], "kept"), "camera": camera}
        )
    return {"boundaries": score_boundaries(truth, cuts), "clips": score_clips(truth, clips)}


def format_scores(scores: Mapping[str, Any]) -> str:
    """The scores as text, one line each."""
    edges, clips = scores["boundaries"], scores["clips"]
    kinds = ", ".join(f"{kind} {k['found']}/{k['planted']}" for kind, k in sorted(edges["kinds"].items()))
    mistaken = ", ".join(f"{kind} {k['taken']}/{k['planted']}" for kind, k in edges["mistaken"].items())
    f1, precision, recall = edges["f1"], edges["precision"], edges["recall"]
    lines = [
        ("shot boundaries", f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})"),
        ("  found by kind", kinds),
        ("  false alarms", mistaken),
        ("good shots kept", _share(clips["good"])),
        ("duplicates found", _share(clips["duplicate"])),
        ("bad files rejected", _share(clips["bad_files"])),
        ("camera named", _share(clips["camera"])),
    ]
    lines += [(f"{kind} dropped", _share(count)) for kind, count in sorted(clips["defects"].items())]
    return "\n".join(f"  {name:20} {text}" for name, text in lines if text)


def _outcomes(history: RunHistory, base: str) -> dict[str, str]:
    """By id of each row that was not kept: the first rule that dropped it, or "rejected"."""
    found: dict[str, str] = {}
    for step in history.steps_on(base):
        for number, counts in history.row_counts(step.name).items():
            dropped, rejected, errors = history.removed_ids(step.name, number, counts)
            for row in dropped:
                found.setdefault(row, step.name)
            for row in [*rejected, *errors]:
                found.setdefault(row, "rejected")
    return found


def _rows(history: RunHistory, step: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    folder = history[step].folder
    for number in parts_of(history.store, folder):
        yield from read_part(history.store, f"{folder}/{part_name(number)}", columns).to_pylist()


def _share(count: Mapping[str, int]) -> str:
    return f"{count['right']} of {count['planted']}"
