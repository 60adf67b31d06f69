"""Scores every place of a video where one shot may end and the next begin, from the stored signals."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np

from manifests import Artifact, PositiveInt, Row, column
from pipeline import Annotate
from stages.media.signals import read_signals, read_thumbnails
from stages.shots.boundary import MIN_SCORE, Boundary, add_certain_cuts, check_detector, find_candidates
from stages.shots.features import CHANGE_SIGNALS, CONTEXT_FRAMES, compute_features
from stages.shots.light_changes import is_switched_light, keeps_detail
from stages.shots.network import WEIGHTS, load_network
from stages.shots.transnet import TransNet, predicted_boundaries, weights_file

DETECTORS = ("fast", "exact", "transnet")
CHUNK = 4096  # frames scored at a time; limits the memory
CONFIDENT = 0.85  # a higher score is not scored again by TransNetV2
ODDS = 2.6  # TransNetV2 scores cautiously: without this factor, true boundaries would score too low
MIN_SHARE = 0.05  # neither score counts as more certain than this, or 1 - this
TOLERANCE = 3  # frames around a candidate within which TransNetV2 may find it


class ScannedVideo(Row):
    signals: Artifact
    scanned_frames: int
    scanned_end_pts: int
    format_changes: tuple[int, ...] = ()
    clock_jumps: tuple[int, ...] = ()


class BoundaryScores(Row):
    first_pts: int = column("pts of the first frame, in the video's time base", unit="ticks")
    boundary_starts: tuple[int, ...] = column(
        "per candidate, in order of time: first frame of the new shot, or of the transition"
    )
    boundary_ends: tuple[int, ...] = column("frame after the transition; equal to boundary_starts for a cut")
    boundary_start_pts: tuple[int, ...] = column("pts of boundary_starts", unit="ticks")
    boundary_end_pts: tuple[int, ...] = column("pts of boundary_ends", unit="ticks")
    boundary_kinds: tuple[str, ...] = column("cut, dissolve, fade or wipe")
    boundary_scores: tuple[float, ...] = column("score of the detector, at least 0.05", unit="0..1")


class ScoreBoundaries(Annotate[ScannedVideo, BoundaryScores]):
    """Scores candidates of shot boundaries.

    All candidates with a score of at least 0.05 are stored, so `FindShots` can apply any threshold without
    reading a signal. A change of the size, the pixel aspect or the dynamic range of the picture is a cut of
    score 1.

    Attributes:
        detector: "fast" runs small networks on features of the stored thumbnails (`features.py`). "exact"
            also runs TransNetV2 (Souček & Lokoč 2020, arXiv 2008.04838) near the candidates with a score of
            at most 0.85, and combines the odds of both scores. It does not for wipes, which TransNetV2 does
            not find. "transnet" runs TransNetV2 alone, on all frames.
        threads: CPU threads of TransNetV2. Higher values are faster.
    """

    version = 2
    execution_settings = frozenset({"threads"})

    detector: str = "fast"
    threads: PositiveInt = 1

    def __post_init__(self) -> None:
        check_detector(self.detector, DETECTORS)

    def digest(self) -> str:
        files = [WEIGHTS] if self.detector != "transnet" else []
        files += [weights_file()] if self.detector != "fast" else []
        return " ".join(sha256(file.read_bytes()).hexdigest() for file in files)

    def annotate(self, rows: Sequence[ScannedVideo]) -> Iterator[BoundaryScores]:
        for row in rows:
            candidates = add_certain_cuts(self._candidates(row), (*row.format_changes, *row.clock_jumps))
            pts = np.append(read_signals(row.signals, ["pts"])["pts"], row.scanned_end_pts)
            yield BoundaryScores(
                first_pts=int(pts[0]),
                boundary_starts=tuple(place.start for place in candidates),
                boundary_ends=tuple(place.end for place in candidates),
                boundary_start_pts=tuple(int(pts[place.start]) for place in candidates),
                boundary_end_pts=tuple(int(pts[place.end]) for place in candidates),
                boundary_kinds=tuple(place.kind for place in candidates),
                boundary_scores=tuple(place.score for place in candidates),
            )

    def _candidates(self, row: ScannedVideo) -> list[Boundary]:
        if self.detector == "transnet":
            return predicted_boundaries(self._transnet.predict(row.signals, row.scanned_frames))
        places = find_candidates(np.concatenate(list(_probabilities(row))))
        candidates = [place for place in places if place.kind == "cut" or not _is_light_change(row, place)]
        return list(self._rescored(row, candidates)) if self.detector == "exact" else candidates

    def _rescored(self, row: ScannedVideo, candidates: Iterable[Boundary]) -> Iterator[Boundary]:
        """Yield the candidates; TransNetV2 raises or lowers the unsure scores, except of a wipe."""
        candidates = list(candidates)
        unsure = [place for place in candidates if place.score <= CONFIDENT and place.kind != "wipe"]
        spans = [(place.start - TOLERANCE, place.end + TOLERANCE) for place in unsure]
        other = self._transnet.predict_spans(row.signals, row.scanned_frames, spans)
        for place in candidates:
            if place in unsure:
                near = other[max(0, place.start - TOLERANCE) : place.end + TOLERANCE]
                place = place._replace(score=combine_scores(place.score, float(near.max())))
            yield place

    @cached_property
    def _transnet(self) -> TransNet:
        return TransNet(self.threads)


def combine_scores(fast: float, other: float) -> float:
    """Return the score whose odds are the geometric mean of the odds of two scores, times `ODDS`."""
    shares = (min(max(score, MIN_SHARE), 1 - MIN_SHARE) for score in (fast, other))
    odds = ODDS * math.sqrt(math.prod(share / (1 - share) for share in shares))
    return round(odds / (1 + odds), 3)


def _is_light_change(row: ScannedVideo, place: Boundary) -> bool:
    """Return whether the frames before and after a transition show the same in another light."""
    luma, _ = read_thumbnails(row.signals, max(0, place.start - 1), place.end + 1)
    return bool(keeps_detail(luma[:1], luma[-1:])[0])


def _probabilities(row: ScannedVideo) -> Iterator[np.ndarray]:
    """Yield the network's outputs [n 5] in chunks; each chunk is computed with its full context of frames."""
    network = load_network()
    context = CONTEXT_FRAMES + network.context_frames
    for start in range(0, row.scanned_frames, CHUNK):
        end = min(start + CHUNK, row.scanned_frames)
        first, last = max(0, start - context), min(row.scanned_frames, end + context)
        signals = read_signals(row.signals, CHANGE_SIGNALS, first, last)
        change = np.stack([signals[name] for name in CHANGE_SIGNALS], 1)
        luma, chroma = read_thumbnails(row.signals, first, last)
        features, _ = compute_features(luma, chroma, change)
        probabilities = network(features)
        before = np.flatnonzero(probabilities[1:, 0] >= MIN_SCORE)  # the frames before a possible cut
        is_light = is_switched_light(luma[before], luma[before + 1])
        probabilities[before[is_light] + 1, 0] = 0
        yield probabilities[start - first : end - first]
