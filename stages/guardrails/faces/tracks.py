"""Tracks faces through a video: boxes of neighboring frames that overlap belong together.

Two thresholds decide (hysteresis): a track needs one box of at least `min_score`, and its other boxes at
least `min_track_score`. Frames without a box in between are filled by interpolation, and a track goes on for
a few frames before its first box and after its last one, because a detector misses turned and blurred faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from stages.models.face_detector import FaceBox

_MIN_IOU = 0.2  # of two boxes of one face in neighboring frames


class TrackedBox(NamedTuple):
    """A box of a track in one frame.

    Attributes:
        frame: Number of the frame.
        track: Number of the track.
        box: The box in px, without margin; its score is 0 if it was filled in.
    """

    frame: int
    track: int
    box: FaceBox


@dataclass
class _Track:
    boxes: dict[int, FaceBox] = field(default_factory=dict)  # by frame, ascending

    @property
    def last(self) -> int:
        return next(reversed(self.boxes))


def track_faces(
    detected: Sequence[Sequence[FaceBox]], *, min_score: float, max_gap: int, padding: int
) -> list[TrackedBox]:
    """Return the boxes of all tracks, by frame.

    Args:
        detected: The boxes of each frame, of at least the lower threshold.
        min_score: The higher threshold.
        max_gap: Longest run of frames without a box that is filled.
        padding: Frames that a track goes on before its first and after its last box.
    """
    tracks = [
        track
        for track in _match(detected, max_gap)
        if max(box.score for box in track.boxes.values()) >= min_score
    ]
    boxes = [
        TrackedBox(frame, number, box)
        for number, track in enumerate(tracks)
        for frame, box in _filled(track, padding, len(detected))
    ]
    return sorted(boxes, key=lambda found: (found.frame, found.track))


def _match(detected: Sequence[Sequence[FaceBox]], max_gap: int) -> list[_Track]:
    """Join boxes to tracks, those that overlap most first."""
    tracks: list[_Track] = []
    for frame, boxes in enumerate(detected):
        alive = [track for track in tracks if frame - track.last <= max_gap + 1]
        pairs = [
            (overlap, t, b)
            for t, track in enumerate(alive)
            for b, box in enumerate(boxes)
            if (overlap := iou(track.boxes[track.last], box)) >= _MIN_IOU
        ]
        used_tracks: set[int] = set()
        used_boxes: set[int] = set()
        for _, t, b in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if t not in used_tracks and b not in used_boxes:
                alive[t].boxes[frame] = boxes[b]
                used_tracks.add(t)
                used_boxes.add(b)
        tracks += [_Track({frame: box}) for b, box in enumerate(boxes) if b not in used_boxes]
    return tracks


def _filled(track: _Track, padding: int, frames: int) -> list[tuple[int, FaceBox]]:
    """The boxes of a track, with those of its gaps and its padding."""
    known = list(track.boxes.items())
    filled: list[tuple[int, FaceBox]] = []
    for (start, box), (end, after) in pairwise(known):
        filled.append((start, box))
        for frame in range(start + 1, end):
            share = (frame - start) / (end - start)
            x, y, width, height = (a + share * (b - a) for a, b in zip(box[:4], after[:4], strict=True))
            filled.append((frame, FaceBox(x, y, width, height, 0.0)))
    first, last = known[0], known[-1]
    before = [(k, first[1]._replace(score=0.0)) for k in range(max(0, first[0] - padding), first[0])]
    behind = [
        (k, last[1]._replace(score=0.0)) for k in range(last[0] + 1, min(frames, last[0] + padding + 1))
    ]
    return [*before, *filled, last, *behind]


def iou(one: FaceBox, other: FaceBox) -> float:
    """Intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / (one.width * one.height + other.width * other.height - inside)
