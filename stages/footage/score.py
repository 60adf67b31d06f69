"""Scores results against the ground truth: shot boundaries, and the outcome of clips with planted defects.

A cut is found if a prediction is within two frames of it. Each prediction finds one cut, and the nearest
pairs are matched first. A gradual transition is found if an unused prediction is in its span or at most two
frames outside; it uses all such predictions. The remaining predictions are false alarms, except in ignored
spans.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from stages.footage.truth import ShotTruth, Truth

TOLERANCE = 2  # frames
_EQUIVALENT_MOTIONS = {"travel": "pan"}


def score_boundaries(truth: Mapping[str, Truth], cuts: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Score predicted shot boundaries.

    Films without a key in `cuts` and films that no decoder can read are left out. For an empty list all
    boundaries of the film are missed.

    Args:
        truth: ground truth by file name.
        cuts: for each file name the first frame of every shot but the first.

    Returns:
        precision, recall and f1 (0..1; 0 if undefined), found, planted, false_alarms, films, frames; kinds:
        {kind: {found, planted}}; mistaken, for false boundaries: {flash | overlay: {taken, planted}}.
    """
    kinds: dict[str, dict[str, int]] = {}
    mistaken: dict[str, dict[str, int]] = {}
    alarms, scored = 0, [truth[name] for name in truth if name in cuts and truth[name].reject is None]
    for film in scored:
        predicted = sorted(cuts[film.video])
        used = _match_cuts(film, predicted, kinds)
        _match_graduals(film, predicted, used, kinds)
        unmatched = [frame for number, frame in enumerate(predicted) if number not in used]
        alarms += sum(not any(first <= frame <= last for first, last in film.ignore) for frame in unmatched)
        for trap in film.negatives:
            if trap.kind in ("flash", "overlay"):
                taken = any(trap.start - 1 <= frame <= trap.end + 1 for frame in predicted)
                _count(mistaken, trap.kind, "taken", taken)
    found = sum(kind["found"] for kind in kinds.values())
    planted = sum(kind["planted"] for kind in kinds.values())
    precision = found / (found + alarms) if found else 0.0
    recall = found / planted if planted else 0.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if found else 0.0,
        "found": found,
        "planted": planted,
        "false_alarms": alarms,
        "films": len(scored),
        "frames": sum(film.frames for film in scored),
        "kinds": kinds,
        "mistaken": mistaken,
    }


def score_sources(truth: Mapping[str, Truth], cuts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the F1 of the boundaries of each source of films that have boundaries.

    The source of a film is its file name before "__", or the whole name.
    """
    sources: dict[str, dict[str, Truth]] = {}
    for name, film in truth.items():
        if name in cuts and (film.cuts or film.graduals):
            sources.setdefault(name.split("__")[0], {})[name] = film
    return {source: score_boundaries(films, cuts)["f1"] for source, films in sources.items()}


def count_losses(found: Mapping[str, Any], min_duration_s: float = 2.0) -> dict[str, int]:
    """Count what false boundaries cost in videos of one shot each.

    A frame is lost if it is in a transition, or in a clip shorter than `min_duration_s`; a video is lost if
    all its frames are. Of videos that are shorter as a whole, only the boundaries count.

    Args:
        found: For each video its "frames", "duration_s", "cuts" and, if known, "spans" of transitions.
    """
    lost = dict.fromkeys(("videos", "frames", "boundaries", "split", "lost_videos", "lost_frames"), 0)
    for got in found.values():
        frames, spans = got["frames"], got.get("spans", ())
        edges = [(cut, cut) for cut in got["cuts"] if not any(a <= cut < b for a, b in spans)]
        edges = [(0, 0), *sorted([*edges, *spans]), (frames, frames)]
        shortest = min_duration_s * frames / got["duration_s"]
        clips = [two[0] - one[1] for one, two in pairwise(edges)]
        kept = sum(clip for clip in clips if clip >= shortest)
        lost["videos"] += 1
        lost["frames"] += frames
        lost["boundaries"] += len(edges) - 2
        lost["split"] += len(edges) > 2
        if frames >= shortest:
            lost["lost_videos"] += not kept
            lost["lost_frames"] += frames - kept
    return lost


def _match_cuts(film: Truth, predicted: Sequence[int], kinds: dict[str, dict[str, int]]) -> set[int]:
    """Match cuts with predictions, the nearest first; returns the indices of the used predictions."""
    pairs = sorted(
        (abs(frame - cut.frame), number, index)
        for number, cut in enumerate(film.cuts)
        for index, frame in enumerate(predicted)
        if abs(frame - cut.frame) <= TOLERANCE
    )
    used: set[int] = set()
    found: set[int] = set()
    for _, number, index in pairs:
        if number not in found and index not in used:
            found.add(number)
            used.add(index)
    for number, cut in enumerate(film.cuts):
        _count(kinds, cut.kind, "found", number in found)
    return used


def _match_graduals(
    film: Truth, predicted: Sequence[int], used: set[int], kinds: dict[str, dict[str, int]]
) -> None:
    """Match gradual transitions with all unused predictions in their spans, and add these to `used`."""
    for span in film.graduals:
        first, last = span.start - TOLERANCE, span.end + TOLERANCE
        hits = {
            index for index, frame in enumerate(predicted) if index not in used and first <= frame <= last
        }
        used |= hits
        _count(kinds, span.kind, "found", bool(hits))


def score_clips(truth: Mapping[str, Truth], clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Score the outcome of clips and files.

    A clip is {"source": file name, "start_frame": int, "end_frame": int (exclusive), "outcome": str} with an
    optional "camera", a motion of `camera.UNITS`. `outcome` is "kept", "rejected", or the name of the rule
    that dropped the clip. A file that a stage rejected is {"source": file name, "outcome": "rejected"}.

    A span of frames counts as kept if kept clips cover at least half of it.

    Returns:
        {right, planted} for each of:

        good        good shots that were kept, themselves or a duplicate of them
        duplicate   shots that repeat another one, of which not both were kept
        bad_files   files that no decoder can read that were rejected, without a kept clip
        camera      shots for which a kept clip names the motion, where the longest such clip names the right
                    one; pan is right for a camera that travels sideways, as only depth distinguishes them
        defects     {kind: …}, shots with a defect whose frames were not kept; "brief": shots under 2 s
    """
    shots = {(video, number): shot for video, film in truth.items() for number, shot in enumerate(film.shots)}
    kept = {video: [c for c in clips if c["source"] == video and c["outcome"] == "kept"] for video in truth}
    rejected = {clip["source"] for clip in clips if clip["outcome"] == "rejected"}
    shown = {key: _covered([(shot.start, shot.end)], kept[key[0]]) for key, shot in shots.items()}
    copies = {shot.duplicate_of: shown[key] for key, shot in shots.items() if shot.duplicate_of}
    scores: dict[str, dict[str, int]] = {}
    defects: dict[str, dict[str, int]] = {}
    for (video, number), shot in shots.items():
        is_kept = shown[video, number]
        if shot.good:
            _count(scores, "good", "right", is_kept or copies.get((video, number), False))
        if shot.duplicate_of:
            _count(scores, "duplicate", "right", not (is_kept and shown.get(shot.duplicate_of, False)))
        if shot.end - shot.start < 2 * Fraction(truth[video].fps or 25):
            _count(defects, "brief", "right", not is_kept)
        for kind in dict.fromkeys(defect.kind for defect in shot.defects):
            spans = [(defect.start, defect.end) for defect in shot.defects if defect.kind == kind]
            _count(defects, kind, "right", not _covered(spans, kept[video]))
        named = [clip for clip in kept[video] if clip.get("camera") and _shared(shot, clip)]
        if named and shot.motion:
            longest = max(named, key=lambda clip: _shared(shot, clip))
            right = (shot.motion, _EQUIVALENT_MOTIONS.get(shot.motion))
            _count(scores, "camera", "right", longest["camera"] in right)
    for video, film in truth.items():
        if film.reject is not None:
            _count(scores, "bad_files", "right", video in rejected and not kept[video])
    none = {"right": 0, "planted": 0}
    parts = ("good", "duplicate", "bad_files", "camera")
    return {**{part: scores.get(part, none) for part in parts}, "defects": defects}


def _shared(shot: ShotTruth, clip: Mapping[str, Any]) -> int:
    """Number of frames that a shot and a clip share if it is at least half of the clip, else 0."""
    shared = min(shot.end, clip["end_frame"]) - max(shot.start, clip["start_frame"])
    return shared if shared > 0 and 2 * shared >= clip["end_frame"] - clip["start_frame"] else 0


def _covered(spans: Sequence[tuple[int, int]], clips: Sequence[Mapping[str, Any]]) -> bool:
    """Whether clips cover at least half of the frames in the spans."""
    wanted = {frame for start, end in spans for frame in range(start, end)}
    covered = {frame for clip in clips for frame in range(clip["start_frame"], clip["end_frame"])}
    return bool(wanted) and 2 * len(wanted & covered) >= len(wanted)


def _count(counts: dict[str, dict[str, int]], kind: str, what: str, yes: bool) -> None:
    """Count one planted item of a kind, and whether it was `what`."""
    entry = counts.setdefault(kind, {what: 0, "planted": 0})
    entry["planted"] += 1
    entry[what] += yes
