"""Scores every place of a video where one shot may end and the next begin, from what the scan stored."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate
from stages.media.signals import read_signals, read_thumbs
from stages.shots.boundary import Boundary, candidates, known
from stages.shots.evidence import COMPONENTS, REACH, evidence
from stages.shots.network import WEIGHTS, bundled
from stages.shots.transnet import TransNet, places_of, weights

DETECTORS = ("fast", "exact", "transnet")
CHUNK = 4096  # frames scored at once: what is held in memory
SURE = 0.15  # a score this near to 0 or 1 needs no second opinion
NEAR = 3  # frames off a place within which TransNetV2 may find it


class Scanned(Row):
    signals: Artifact
    scanned_frames: int
    scanned_end_pts: int


class Scored(Row):
    first_pts: int = column("pts of the first frame")
    boundary_starts: tuple[int, ...] = column(
        "of each place where a shot may end, in order: the first frame of the new shot, or of the transition"
    )
    boundary_ends: tuple[int, ...] = column("frame after the transition; as boundary_starts, for a cut")
    boundary_start_pts: tuple[int, ...] = column("pts of boundary_starts")
    boundary_end_pts: tuple[int, ...] = column("pts of boundary_ends")
    boundary_kinds: tuple[str, ...] = column("cut, dissolve, fade or wipe")
    boundary_scores: tuple[float, ...] = column("how sure the detector is, from 0.05 up", unit="0..1")


class ScoreBoundaries(Annotate[Scanned, Scored]):
    """Nothing is decided here: all places down to a score of 0.05 are kept, so that `FindShots` replays any
    threshold without reading a signal.

    "fast" asks a small network about measures over the stored thumbs (`evidence.py`). "exact" asks
    TransNetV2 too (Souček & Lokoč 2020, arXiv 2008.04838), but only around the places of which the
    first is not sure, and takes the mean of both. "transnet" asks TransNetV2 alone, everywhere.
    """

    place = frozenset({"threads"})

    detector: str = "fast"  # exact, transnet
    threads: int = 1  # of TransNetV2

    def __post_init__(self) -> None:
        known(self.detector, DETECTORS)

    def digest(self) -> str:
        files = [WEIGHTS] if self.detector != "transnet" else []
        files += [weights()] if self.detector != "fast" else []
        return " ".join(sha256(file.read_bytes()).hexdigest() for file in files)

    def annotate(self, rows: Sequence[Scanned]) -> Iterator[Scored]:
        for row in rows:
            found = self._places(row)
            pts = np.append(read_signals(row.signals, ["pts"])["pts"], row.scanned_end_pts)
            yield Scored(
                first_pts=int(pts[0]),
                boundary_starts=tuple(place.start for place in found),
                boundary_ends=tuple(place.end for place in found),
                boundary_start_pts=tuple(int(pts[place.start]) for place in found),
                boundary_end_pts=tuple(int(pts[place.end]) for place in found),
                boundary_kinds=tuple(place.kind for place in found),
                boundary_scores=tuple(place.score for place in found),
            )

    def _places(self, row: Scanned) -> list[Boundary]:
        if self.detector == "transnet":
            return places_of(self._transnet.everywhere(row.signals, row.scanned_frames))
        found = candidates(np.concatenate(list(_chances(row))))
        return list(self._second(row, found)) if self.detector == "exact" else found

    def _second(self, row: Scanned, found: Iterable[Boundary]) -> Iterator[Boundary]:
        """The places, with the mean of both scores where the first is unsure."""
        found = list(found)
        unsure = [place for place in found if SURE <= place.score <= 1 - SURE]
        spans = [(place.start - NEAR, place.end + NEAR) for place in unsure]
        other = self._transnet.around(row.signals, row.scanned_frames, spans)
        for place in found:
            if place in unsure:
                near = other[max(0, place.start - NEAR) : place.end + NEAR]
                place = place._replace(score=round((place.score + float(near.max())) / 2, 3))
            yield place

    @cached_property
    def _transnet(self) -> TransNet:
        return TransNet(self.threads)


def _chances(row: Scanned) -> Iterator[np.ndarray]:
    """The network's answers, in chunks of frames that see as far to both sides as the whole would."""
    network = bundled()
    beyond = REACH + network.reach
    for start in range(0, row.scanned_frames, CHUNK):
        end = min(start + CHUNK, row.scanned_frames)
        first, last = max(0, start - beyond), min(row.scanned_frames, end + beyond)
        stored = read_signals(row.signals, COMPONENTS, first, last)
        change = np.stack([stored[name] for name in COMPONENTS], 1)
        measures, _ = evidence(*read_thumbs(row.signals, first, last), change)
        yield network(measures)[start - first : end - first]
