"""Faces of a video with known boxes are measured and hidden, also where the detector misses one."""

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.guardrails.blur_faces import BlurFaces, VideoFile
from stages.guardrails.faces.hiding import METHODS
from stages.guardrails.faces.tracks import iou, track_faces
from stages.guardrails.footage import Footage
from stages.guardrails.measure_faces import MeasureFaces
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.models.face_detector import FaceBox, FaceDetector, weights_file
from stages.models.weights import WeightsError
from stages.scan.scan_video import ScannedVideo

COUNT, STEP_PX = 8, 5
FACE = FaceBox(60, 45, 44, 56, 1.0)  # in the picture, by eye
SMALL = {"longer_side_px": 256}
Images = list[np.ndarray]


@pytest.fixture
def picture(footage: Path) -> np.ndarray:
    """A part of a frame of real footage with one face, RGB [128 160 3]."""
    try:
        weights_file()
    except WeightsError as error:
        pytest.skip(str(error))
    file = footage / "natural_more/facerec__short_hamilton_clip.mp4"
    if not file.is_file():
        pytest.skip("the footage holds no film of faces")
    with open_video(str(file)) as video:
        frame = next(video.frames())
        return frame.pixels("rgb24")[:128, 464:624]


def moved(picture: np.ndarray) -> Images:
    """The picture moves to the right by STEP_PX in each frame."""
    images = [np.full((160, 224, 3), 90, np.uint8) for _ in range(COUNT)]
    for k, image in enumerate(images):
        image[16:144, STEP_PX * k : STEP_PX * k + 160] = picture
    return images


def true_box(k: int) -> FaceBox:
    return FACE._replace(x=FACE.x + STEP_PX * k, y=FACE.y + 16)


def encoded(images: Sequence[np.ndarray]) -> Artifact:
    target = BytesIO()
    write_mp4(target, images, 12, crf=12, preset="ultrafast")
    return Artifact.of(target.getvalue(), ".mp4")


def decoded(video: Artifact) -> Images:
    with video.local() as path, open_video(str(path)) as opened:
        return [frame.pixels("rgb24") for frame in opened.frames()]


def detail(image: np.ndarray, box: FaceBox) -> float:
    """How much structure the middle of a face has."""
    x, y, w, h = (round(side) for side in box[:4])
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[y : y + h, x : x + w]
    return float(cv2.Laplacian(gray, cv2.CV_64F).std())


def test_every_frame_is_hidden_although_the_detector_misses_one(picture: np.ndarray) -> None:
    images = moved(picture)
    x, y, w, h = (round(side) for side in true_box(4)[:4])
    knocked_out = images[4].copy()
    knocked_out[y - 15 : y + h + 10, x - 15 : x + w + 15] = 90
    assert FaceDetector(**SMALL)(knocked_out, 0.2) == []
    video = encoded([*images[:4], knocked_out, *images[5:]])
    for method in METHODS:
        [row] = BlurFaces(method=method, padding=0, **SMALL).annotate([VideoFile(video=video)])
        assert not isinstance(row, Reject)
        assert (row.blurred_faces, row.blurred_frame_share) == (1, 1.0)
        assert 0.05 < row.blurred_area_share < 0.25
        log = [json.loads(line) for line in row.face_boxes.read().splitlines()]
        assert [line["frame"] for line in log] == list(range(COUNT))
        assert [line["score"] == 0 for line in log] == [k == 4 for k in range(COUNT)]
        for k, line in enumerate(log):
            found = FaceBox(line["x"], line["y"], line["width"], line["height"], 1.0)
            assert iou(found, true_box(k)) > 0.6
        hidden = decoded(row.blurred_video)
        assert len(hidden) == COUNT
        for k in (0, 7):
            assert detail(hidden[k], true_box(k)) < 0.6 * detail(images[k], true_box(k))
            assert np.abs(hidden[k][:20].astype(int) - images[k][:20]).mean() < 6  # the rest stays
    [again] = BlurFaces(method=method, padding=0, **SMALL).annotate([VideoFile(clip=video)])
    assert again == row


def test_faces_are_measured_and_a_video_without_any_stays_as_it_is(picture: np.ndarray) -> None:
    empty = encoded([np.full((96, 128, 3), 90, np.uint8)] * 3)
    none, half, reject = MeasureFaces(sample_fps=0, **SMALL).annotate(
        [
            Footage(video=empty),
            Footage(clip=encoded([*moved(picture)[:2], *[np.full((160, 224, 3), 90, np.uint8)] * 2])),
            Footage(video=Artifact.of(b"no video", ".mp4")),
        ]
    )
    assert not isinstance(none, Reject)
    assert not isinstance(half, Reject)
    assert (none.face_share, none.face_count, none.face_area_share) == (0, 0, 0)
    assert (half.face_share, half.face_count) == (0.5, 1)
    assert half.face_area_share == pytest.approx(FACE.width * FACE.height / (160 * 224), rel=0.3)
    assert isinstance(reject, Reject)
    untouched, broken = BlurFaces(**SMALL).annotate(
        [VideoFile(video=empty), VideoFile(video=Artifact.of(b"no video", ".mp4"))]
    )
    assert not isinstance(untouched, Reject)
    assert untouched.blurred_video.sha256 == empty.sha256
    assert untouched.face_boxes.read() == b""
    assert isinstance(broken, Reject)


def test_stored_stills_are_searched_where_there_is_no_video(
    picture: np.ndarray, film: Callable[..., Path], scan: Callable[..., ScannedVideo]
) -> None:
    images = [*[np.full((160, 224, 3), 90, np.uint8)] * 12, *moved(picture), *[moved(picture)[-1]] * 4]
    scanned = scan(film(images, fps=12), meters=())
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    spans = [Footage(**stored, start_s=0, end_s=1), Footage(**stored, start_s=1, end_s=2)]
    nobody, one = MeasureFaces(**SMALL).annotate(spans)
    assert not isinstance(nobody, Reject)
    assert not isinstance(one, Reject)
    assert (nobody.face_share, one.face_share, one.face_count) == (0, 1, 1)


def box(x: float, score: float, y: float = 0.0) -> FaceBox:
    return FaceBox(x, y, 10, 10, score)


def tracked(detected: list[list[FaceBox]], **change: Any) -> list[tuple[int, int, float, float]]:
    settings = {"min_score": 0.5, "max_gap": 2, "padding": 0, **change}
    return [(t.frame, t.track, t.box.x, t.box.score) for t in track_faces(detected, **settings)]


def test_a_track_needs_one_certain_box_and_keeps_uncertain_ones() -> None:
    assert tracked([[box(0, 0.3)], [box(1, 0.6)], [box(2, 0.3)]]) == [
        (0, 0, 0, 0.3),
        (1, 0, 1, 0.6),
        (2, 0, 2, 0.3),
    ]
    assert tracked([[box(0, 0.3)], [box(1, 0.4)]]) == []


def test_gaps_are_filled_up_to_their_limit_and_ends_are_padded() -> None:
    gap = [[box(0, 0.9)], [], [], [box(6, 0.9)], [], []]
    assert tracked(gap) == [(0, 0, 0, 0.9), (1, 0, 2, 0), (2, 0, 4, 0), (3, 0, 6, 0.9)]
    assert [found[0] for found in tracked(gap, max_gap=1)] == [0, 3]
    assert [found[0] for found in tracked(gap, padding=1)] == [0, 1, 2, 3, 4]


def test_two_faces_that_move_next_to_each_other_stay_apart() -> None:
    detected = [[box(k, 0.9), box(k, 0.8, y=9)][:: 1 if k % 2 else -1] for k in range(4)]
    found = track_faces(detected, min_score=0.5, max_gap=2, padding=0)
    assert {(t.track, t.box.y) for t in found} == {(0, 9.0), (1, 0.0)}
