"""Embeds each clip by its stills, so that copies of a clip have similar vectors."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from manifests import Artifact, PositiveInt, Row, Vector, column
from pipeline import Annotate, Needs, Reject
from stages.duplicates.copies import signature_of
from stages.duplicates.descriptor import KIND, PARTS, descriptor_of
from stages.media.signals import read_signals, read_thumbnails
from stages.media.strip import CroppedStills, Still, crop_pixels, decode_still, read_strip

if TYPE_CHECKING:
    from stages.models.open_clip import OpenClipModel


_TIME_SLACK_S = 1e-6


class ScannedClip(CroppedStills):
    signals: Artifact
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class ClipEmbedding(Row):
    embedding: Vector = column(
        "what the clip shows, a vector of unit length; the dot product of two is their cosine similarity",
        unit="1",
    )
    embedding_kind: str = column(
        "how the embedding was computed; only embeddings of one kind can be compared"
    )
    frame_signature: bytes = column(
        "up to 64 small frames of the clip, which tell copies from other moments of a take"
    )
    stills_sha256: str = column("digest of the stills and their times; equal for clips with equal stills")


class EmbedClip(Annotate[ScannedClip, ClipEmbedding]):
    """Computes an embedding of each clip from its stills, and a signature from all its frames.

    By default the embedding is the descriptor of `descriptor.py`. With `model` it is the mean of the image
    vectors of an open_clip model. The descriptor gives copies of a clip a higher similarity, and clips that
    only resemble each other a lower one.

    Rejected: a clip of a video without stills.

    Attributes:
        model: Name or folder of an open_clip model, as in `stages/models/open_clip.py`; empty for the
            descriptor.
        stills_per_third: Stills read per third of the clip, at most; with `model`, three times as many from
            the whole clip. A higher value takes longer.
    """

    model: str = ""
    stills_per_third: PositiveInt = 4

    version = 4
    needs = Needs(cpus=1, memory_gb=2, batch=8)

    @cached_property
    def loaded_model(self) -> "OpenClipModel | None":
        from stages.models.open_clip import OpenClipModel

        return OpenClipModel(self.model) if self.model else None

    def digest(self) -> str:
        from stages.models.open_clip import open_clip_digest

        return open_clip_digest(self.model) if self.model else ""

    @cached_property
    def kind(self) -> str:
        """Value of `embedding_kind`: the descriptor, or the model and the number of stills that it gets."""
        if not self.model:
            return KIND
        return f"towers {self.digest()[:16] or self.model} {PARTS * self.stills_per_third}"

    def annotate(self, rows: Sequence[ScannedClip]) -> Iterator[ClipEmbedding | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            try:
                vector = self._mean_image_vector(row) if self.model else self._descriptor(row)
            except Reject as reject:
                yield reject
            else:
                yield ClipEmbedding(
                    embedding=Vector("f", vector.astype(np.float32).tobytes()),
                    embedding_kind=self.kind,
                    frame_signature=_signature(row),
                    stills_sha256=_stills_digest(row),
                )

    def _mean_image_vector(self, row: ScannedClip) -> np.ndarray:
        """The mean of the unit vectors of the stills, scaled to unit length, float64 [d]."""
        assert self.loaded_model is not None
        count = PARTS * self.stills_per_third
        stills = read_strip(row, row.start_s, row.end_s, count) or _nearest(row, row.start_s)
        vectors = self.loaded_model.embed_images([decode_still(still) for still in stills])
        mean: np.ndarray = vectors.mean(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(mean))
        if not length > 0:
            raise Reject("the vectors of its stills cancel out")
        return mean / length

    def _descriptor(self, row: ScannedClip) -> np.ndarray:
        edges = np.linspace(row.start_s, row.end_s, PARTS + 1).tolist()
        thirds = [self._images(row, edges[i], edges[i + 1]) for i in range(PARTS)]
        return descriptor_of(thirds)

    def _images(self, row: ScannedClip, start_s: float, end_s: float) -> list[np.ndarray]:
        stills = read_strip(row, start_s, end_s, self.stills_per_third)
        if not stills:
            stills = _nearest(row, (start_s + end_s) / 2)
        return [decode_still(still) for still in stills]


def _signature(row: ScannedClip) -> bytes:
    times_s = read_signals(row.signals, ["time_s"])["time_s"]
    start, end = np.searchsorted(times_s, [row.start_s - _TIME_SLACK_S, row.end_s - _TIME_SLACK_S]).tolist()
    if start >= end:
        return b""
    luma, _ = read_thumbnails(row.signals, start, end)
    if shares := row.crop_shares():
        luma = crop_pixels(luma, shares)
    return signature_of(luma, times_s[start:end], row.start_s, min(row.end_s, float(times_s[-1]) + 1.0))


def _nearest(row: ScannedClip, time_s: float) -> list[Still]:
    """The still nearest to a time: one of the clip if it has any, else one of the video."""
    inside = [still_s for still_s in row.strip_times_s if row.start_s <= still_s < row.end_s]
    if not row.strip_times_s:
        raise Reject("the video is too short: it has no still")
    nearest_s = min(inside or row.strip_times_s, key=lambda still_s: abs(still_s - time_s))
    return read_strip(row, nearest_s, math.nextafter(nearest_s, math.inf))


def _stills_digest(row: ScannedClip) -> str:
    """SHA-256 of all stills of the clip and of their times in the clip, in ms."""
    digest = hashlib.sha256()
    for still in read_strip(row, row.start_s, row.end_s) or _nearest(row, row.start_s):
        digest.update(f"{round(1000 * (still.time_s - row.start_s))} {len(still.jpeg)} ".encode())
        digest.update(still.jpeg)
    return digest.hexdigest()
