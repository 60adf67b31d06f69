"""Embed each clip by a descriptor of its stills, made without weights: copies of a clip lie close by."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, Vector, column
from pipeline import Annotate, Needs
from stages.duplicates.descriptor import PARTS, descriptor_of
from stages.media.strip import pixels_of, read_strip


class ScannedClip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Embedded(Row):
    embedding: Vector = column(
        "descriptor of unit length; the dot product of two is their similarity", unit="1"
    )


class EmbedClip(Annotate[ScannedClip, Embedded]):
    """Up to `stills` stills of each third of a clip; of an empty third, the one of the clip nearest to it."""

    stills: int = 4

    needs = Needs(cpus=1, batch=8)

    def annotate(self, rows: Sequence[ScannedClip]) -> Iterator[Embedded]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            edges = np.linspace(row.start_s, row.end_s, PARTS + 1).tolist()
            thirds = [self._pictures(row, edges[i], edges[i + 1]) for i in range(PARTS)]
            yield Embedded(embedding=Vector("f", descriptor_of(thirds).tobytes()))

    def _pictures(self, row: ScannedClip, start_s: float, end_s: float) -> list[np.ndarray]:
        found = read_strip(row, start_s, end_s, self.stills)
        if not found:
            within = [time_s for time_s in row.strip_times_s if row.start_s <= time_s < row.end_s]
            middle_s = (start_s + end_s) / 2
            near_s = min(within or row.strip_times_s, key=lambda time_s: abs(time_s - middle_s))
            found = read_strip(row, near_s, math.nextafter(near_s, math.inf))
        return [pixels_of(still) for still in found]
