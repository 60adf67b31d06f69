"""How well results fit the truth: shot boundaries one by one, and clips against planted faults.

A cut is found when a predicted frame stands within two frames of it; one prediction finds one cut, the
nearest pairs first. A gradual is found when a prediction not yet used falls into its span, or at most two
frames beside it, and it uses up all that do. What is left over is a false alarm, unless the truth says to
ignore it.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from stages.footage.truth import ShotTruth, Truth

TOLERANCE = 2  # frames
_ALSO = {"travel": "pan"}


def score_boundaries(truth: Mapping[str, Truth], cuts: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Score predicted boundaries: for each file name, the first frame of every shot but the first.

    Films without predictions (no key) are left out, as are those that no decoder reads; an empty list counts
    as all missed. Gives precision, recall, f1 (0..1; 0 where undefined), found, planted, false_alarms, films,
    frames; kinds: {kind: {found, planted}}; mistaken, of what looks like a boundary and is none: {flash |
    overlay: {taken, planted}}.
    """
    kinds: dict[str, dict[str, int]] = {}
    mistaken: dict[str, dict[str, int]] = {}
    alarms, scored = 0, [truth[name] for name in truth if name in cuts and truth[name].reject is None]
    for film in scored:
        predicted = sorted(cuts[film.video])
        used = _match_cuts(film, predicted, kinds)
        _match_graduals(film, predicted, used, kinds)
        left = [frame for number, frame in enumerate(predicted) if number not in used]
        alarms += sum(not any(first <= frame <= last for first, last in film.ignore) for frame in left)
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


def _match_cuts(film: Truth, predicted: Sequence[int], kinds: dict[str, dict[str, int]]) -> set[int]:
    """Pair cuts with predictions, the nearest first; gives which predictions are used."""
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
    """Let each gradual use up all free predictions on it; `used` grows."""
    for span in film.graduals:
        first, last = span.start - TOLERANCE, span.end + TOLERANCE
        hits = {
            index for index, frame in enumerate(predicted) if index not in used and first <= frame <= last
        }
        used |= hits
        _count(kinds, span.kind, "found", bool(hits))


def score_clips(truth: Mapping[str, Truth], clips: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Score what became of the clips and of the files.

    A clip is {"source": file name, "start_frame": int, "end_frame": int (exclusive), "fate": str}, and may
    have {"camera": str}, a motion of `camera.UNITS`. `fate` is "kept", "rejected", or the name of the rule
    that dropped it. A file that a stage rejected whole is {"source": file name, "fate": "rejected"}.

    A span of frames counts as kept when kept clips cover at least half of it. Each answer is {right,
    planted}:

        good        good shots that were kept, themselves or a duplicate of theirs
        duplicate   shots that repeat another, of which not both were kept
        bad_files   files no decoder reads that were rejected, and gave no kept clip
        camera      shots of which a kept clip names the motion, and the longest such clip the right one;
                    a camera that travels sideways may be said to pan, as only depth tells them apart
        defects     {kind: …}, shots with that defect, if its frames were not kept; "brief": shots under 2 s
    """
    shots = {(video, number): shot for video, film in truth.items() for number, shot in enumerate(film.shots)}
    kept = {video: [c for c in clips if c["source"] == video and c["fate"] == "kept"] for video in truth}
    rejected = {clip["source"] for clip in clips if clip["fate"] == "rejected"}
    shown = {key: _covered([(shot.start, shot.end)], kept[key[0]]) for key, shot in shots.items()}
    twins = {shot.duplicate_of: shown[key] for key, shot in shots.items() if shot.duplicate_of}
    answer: dict[str, dict[str, int]] = {}
    defects: dict[str, dict[str, int]] = {}
    for (video, number), shot in shots.items():
        there = shown[video, number]
        if shot.good:
            _count(answer, "good", "right", there or twins.get((video, number), False))
        if shot.duplicate_of:
            _count(answer, "duplicate", "right", not (there and shown.get(shot.duplicate_of, False)))
        if shot.end - shot.start < 2 * Fraction(truth[video].fps or 25):
            _count(defects, "brief", "right", not there)
        for kind in dict.fromkeys(defect.kind for defect in shot.defects):
            spans = [(defect.start, defect.end) for defect in shot.defects if defect.kind == kind]
            _count(defects, kind, "right", not _covered(spans, kept[video]))
        named = [clip for clip in kept[video] if clip.get("camera") and _shared(shot, clip)]
        if named and shot.motion:
            longest = max(named, key=lambda clip: _shared(shot, clip))
            _count(answer, "camera", "right", longest["camera"] in (shot.motion, _ALSO.get(shot.motion)))
    for video, film in truth.items():
        if film.reject is not None:
            _count(answer, "bad_files", "right", video in rejected and not kept[video])
    none = {"right": 0, "planted": 0}
    parts = ("good", "duplicate", "bad_files", "camera")
    return {**{part: answer.get(part, none) for part in parts}, "defects": defects}


def _shared(shot: ShotTruth, clip: Mapping[str, Any]) -> int:
    """Frames that a shot and a clip share, when they are at least half of the clip; else 0."""
    shared = min(shot.end, clip["end_frame"]) - max(shot.start, clip["start_frame"])
    return shared if shared > 0 and 2 * shared >= clip["end_frame"] - clip["start_frame"] else 0


def _covered(spans: Sequence[tuple[int, int]], clips: Sequence[Mapping[str, Any]]) -> bool:
    """Whether clips cover at least half of the frames in the spans."""
    wanted = {frame for start, end in spans for frame in range(start, end)}
    covered = {frame for clip in clips for frame in range(clip["start_frame"], clip["end_frame"])}
    return bool(wanted) and 2 * len(wanted & covered) >= len(wanted)


def _count(counts: dict[str, dict[str, int]], kind: str, what: str, yes: bool) -> None:
    """One more of that kind was planted, and was `what` or not."""
    entry = counts.setdefault(kind, {what: 0, "planted": 0})
    entry["planted"] += 1
    entry[what] += yes
