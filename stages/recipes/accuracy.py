"""How well a run of the demo did: what became of each shot and file, against the truth drawn with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manifests.table import part_name, parts_of, read_part
from pipeline.history.run_history import Past
from stages.footage.score import score_boundaries, score_clips
from stages.footage.truth import read_truth

MOTIONS = {  # the words of MeasureMotion for the motions of the drawn cameras
    "static": "fixed", "pan left": "pan", "pan right": "pan", "tilt up": "tilt", "tilt down": "tilt",
    "zoom in": "zoom", "zoom out": "zoom", "roll left": "roll", "roll right": "roll", "shake": "shake",
    "handheld": "wander",
}  # fmt: skip


def accuracy(past: Past, footage: Path) -> dict[str, Any]:
    """Scores of a run over drawn films: {"boundaries": …, "clips": …} as `footage.score` gives them."""
    truth = read_truth(footage)
    videos = {row["id"]: row["source"] for row in _rows(past, "list_videos", ("id", "source"))}
    bad = [row for row, fate in _fates(past, "list_videos").items() if fate == "rejected"]
    clips: list[dict[str, Any]] = [{"source": videos[row], "fate": "rejected"} for row in bad]
    cuts: dict[str, list[int]] = {source: [] for source in videos.values()}
    cameras = {row["id"]: row["camera"] for row in _rows(past, "measure_motion", ("id", "camera"))}
    fates = _fates(past, "find_shots")
    mixed: set[tuple[str, int]] = set()  # where a transition ends
    for shot in _rows(past, "find_shots", ("id", "parent", "start_frame", "end_frame", "piece", "kind")):
        source, start, end = videos[shot["parent"]], shot["start_frame"], shot["end_frame"]
        if shot["kind"] != "shot":
            mixed.add((source, end))
            cuts[source].append((start + end) // 2)
            continue
        if start and not shot["piece"] and (source, start) not in mixed:
            cuts[source].append(start)
        clip = {name: shot[name] for name in ("start_frame", "end_frame")}
        camera = MOTIONS.get(cameras.get(shot["id"], ""), "")
        clips.append({**clip, "source": source, "fate": fates.get(shot["id"], "kept"), "camera": camera})
    return {"boundaries": score_boundaries(truth, cuts), "clips": score_clips(truth, clips)}


def told(scores: Mapping[str, Any]) -> str:
    """The scores as lines for people."""
    edges, clips = scores["boundaries"], scores["clips"]
    kinds = ", ".join(f"{kind} {k['found']}/{k['planted']}" for kind, k in sorted(edges["kinds"].items()))
    mistaken = ", ".join(f"{kind} {k['taken']}/{k['planted']}" for kind, k in edges["mistaken"].items())
    f1, precision, recall = edges["f1"], edges["precision"], edges["recall"]
    lines = [
        ("shot boundaries", f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})"),
        ("  found by kind", kinds),
        ("  taken for one", mistaken),
        ("good shots kept", _share(clips["good"])),
        ("duplicates told", _share(clips["duplicate"])),
        ("bad files rejected", _share(clips["bad_files"])),
        ("camera named", _share(clips["camera"])),
    ]
    lines += [(f"{kind} dropped", _share(count)) for kind, count in sorted(clips["defects"].items())]
    return "\n".join(f"  {name:20} {text}" for name, text in lines if text)


def _fates(past: Past, base: str) -> dict[str, str]:
    """For rows that did not come through: the rule that dropped each first, or "rejected"."""
    found: dict[str, str] = {}
    for step in past.works_on(base):
        for number, books in past.books(step.name).items():
            dropped, rejected = past.gone(step.name, number, books)
            for row in dropped:
                found.setdefault(row, step.name)
            for row in rejected:
                found.setdefault(row, "rejected")
    return found


def _rows(past: Past, step: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    folder = past[step].folder
    for number in parts_of(past.store, folder):
        yield from read_part(past.store, f"{folder}/{part_name(number)}", columns).to_pylist()


def _share(count: Mapping[str, int]) -> str:
    return f"{count['right']} of {count['planted']}"
