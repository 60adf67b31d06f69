"""Embed each clip by its stills, so that copies of a clip lie close by: by a descriptor, or by a network."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from manifests import Artifact, Row, Vector, column
from pipeline import Annotate, Needs, Reject
from stages.duplicates.descriptor import KIND, PARTS, descriptor_of
from stages.media.strip import Still, pixels_of, read_strip

if TYPE_CHECKING:
    from stages.models.open_clip import Towers


class ScannedClip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Embedded(Row):
    embedding: Vector = column(
        "what the clip shows, of unit length; the dot product of two is their similarity", unit="1"
    )
    embedding_kind: str = column("how the vector was made; only those of one kind can be compared")
    pictures_sha256: str = column("digest of the stills and their times; equal for clips of equal pictures")


class EmbedClip(Annotate[ScannedClip, Embedded]):
    """The descriptor of up to `stills` stills of each third of a clip; or the mean vector of as many in all.

    `towers` names an open_clip model as `stages/models/open_clip.py` says, and takes the place of the
    descriptor. Copies of a clip lie closer to it under a descriptor, and what is merely alike farther off.
    Rejected: a clip, or a video, without stills.
    """

    towers: str = ""
    stills: int = 4

    version = 2
    needs = Needs(cpus=1, memory_gb=2, batch=8)

    @cached_property
    def loaded_towers(self) -> "Towers | None":
        from stages.models.open_clip import Towers

        return Towers(self.towers) if self.towers else None

    def digest(self) -> str:
        from stages.models.open_clip import towers_digest

        return towers_digest(self.towers) if self.towers else ""

    @cached_property
    def kind(self) -> str:
        """What is said of each vector: the descriptor, or the model and how many stills it saw."""
        return f"towers {self.digest()[:16] or self.towers} {3 * self.stills}" if self.towers else KIND

    def annotate(self, rows: Sequence[ScannedClip]) -> Iterator[Embedded | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            try:
                vector = self._by_towers(row) if self.towers else self._by_descriptor(row)
            except Reject as reject:
                yield reject
            else:
                yield Embedded(
                    embedding=Vector("f", vector.astype(np.float32).tobytes()),
                    embedding_kind=self.kind,
                    pictures_sha256=_digest(row),
                )

    def _by_towers(self, row: ScannedClip) -> np.ndarray:
        """The mean of the stills' unit vectors, itself of unit length, float32 [d]."""
        assert self.loaded_towers is not None
        stills = read_strip(row, row.start_s, row.end_s, PARTS * self.stills) or _nearest(row, row.start_s)
        mean = self.loaded_towers.images([pixels_of(still) for still in stills]).mean(
            axis=0, dtype=np.float64
        )
        length = float(np.linalg.norm(mean))
        if not length > 0:
            raise Reject("the vectors of its stills cancel out")
        return mean / length

    def _by_descriptor(self, row: ScannedClip) -> np.ndarray:
        edges = np.linspace(row.start_s, row.end_s, PARTS + 1).tolist()
        thirds = [self._pictures(row, edges[i], edges[i + 1]) for i in range(PARTS)]
        return descriptor_of(thirds)

    def _pictures(self, row: ScannedClip, start_s: float, end_s: float) -> list[np.ndarray]:
        found = read_strip(row, start_s, end_s, self.stills) or _nearest(row, (start_s + end_s) / 2)
        return [pixels_of(still) for still in found]


def _nearest(row: ScannedClip, at_s: float) -> list[Still]:
    """The one still nearest to a time, of the clip if it has any, else of the video."""
    within = [time_s for time_s in row.strip_times_s if row.start_s <= time_s < row.end_s]
    if not row.strip_times_s:
        raise Reject("too short to be looked at: no still lies in the video")
    near_s = min(within or row.strip_times_s, key=lambda time_s: abs(time_s - at_s))
    return read_strip(row, near_s, math.nextafter(near_s, math.inf))


def _digest(row: ScannedClip) -> str:
    """Of all stills of the clip and of their times in it, in ms."""
    seen = hashlib.sha256()
    for still in read_strip(row, row.start_s, row.end_s) or _nearest(row, row.start_s):
        seen.update(f"{round(1000 * (still.time_s - row.start_s))} {len(still.jpeg)} ".encode())
        seen.update(still.jpeg)
    return seen.hexdigest()
