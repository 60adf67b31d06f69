"""Lines laid over a clip are told from writing in the scene; where both rest, neither is claimed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.footage.words import letters
from stages.models.text_boxes import TextBox, weights_file
from stages.models.weights import NoWeights
from stages.quality.measure_text import Clip, MeasureText, Text, is_rewritten
from stages.scan.scan_video import Scanned

Draw = Callable[..., Iterator[np.ndarray]]
SIZE, FPS, COUNT = (252, 448), 6, 24
SPEECH = ("Where were you last night?", "At sea, all night.")


def _subtitle(picture: np.ndarray, k: int) -> None:
    letters(picture, SPEECH[k * len(SPEECH) // COUNT])


def _channel(picture: np.ndarray, k: int) -> None:
    cv2.putText(picture, "channel", (20, 40), cv2.FONT_HERSHEY_DUPLEX, 0.8, (250, 250, 250), 2, cv2.LINE_AA)


def _sign(picture: np.ndarray, k: int) -> None:
    """It stands in the world over which the camera goes."""
    at = (300 - 8 * k, 130 - k)
    cv2.putText(picture, "BAKERY", at, cv2.FONT_HERSHEY_DUPLEX, 1.2, (250, 250, 250), 3, cv2.LINE_AA)


@pytest.fixture
def measured(film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw) -> Callable[..., Text]:
    """Measure a camera that pans or rests, with something written over the pictures."""
    try:
        weights_file()
    except NoWeights as error:
        pytest.skip(str(error))

    def measure(write: Callable[[np.ndarray, int], None] | None, *, pans: bool = True) -> Text:
        pictures = [p.copy() for p in moving(5, COUNT, size=SIZE, step=(8, 1) if pans else (0, 0))]
        for k, picture in enumerate(pictures):
            if write:
                write(picture, k)
        [said] = MeasureText().annotate([_clip(scan(film(pictures, fps=FPS)))])
        assert isinstance(said, Text)
        parts = said.overlay_text_share + said.scene_text_share + said.resting_text_share
        assert said.text_share == pytest.approx(parts)
        return said

    return measure


def _clip(scanned: Scanned, start_s: float = 0.0, end_s: float = 1e9) -> Clip:
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return Clip(**stored, start_s=start_s, end_s=end_s)


def test_a_clip_without_writing_has_none(measured: Callable[..., Text]) -> None:
    assert measured(None).text_share == 0


def test_speech_is_an_overlay_whether_the_picture_moves_or_not(measured: Callable[..., Text]) -> None:
    for pans in (True, False):
        said = measured(_subtitle, pans=pans)
        assert said.overlay_text_share > 0.02
        assert said.scene_text_share == said.resting_text_share == 0


def test_a_word_that_stays_is_an_overlay_only_where_the_picture_moves(measured: Callable[..., Text]) -> None:
    over, rests = measured(_channel), measured(_channel, pans=False)
    assert over.overlay_text_share > 0.01
    assert rests.overlay_text_share == 0
    assert rests.resting_text_share > 0.01


def test_a_sign_that_the_camera_passes_belongs_to_the_scene(measured: Callable[..., Text]) -> None:
    said = measured(_sign)
    assert said.scene_text_share > 0.01
    assert said.overlay_text_share == 0


def test_other_weights_are_another_result(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"of another")
    assert MeasureText().digest() != MeasureText(weights=str(tmp_path / "own.onnx")).digest()
    with pytest.raises(NoWeights, match="no weights"):
        MeasureText(weights=str(tmp_path / "none.onnx")).digest()


def test_a_clip_between_two_stills_is_rejected(
    film: Callable[..., Path], scan: Callable[..., Scanned], moving: Draw
) -> None:
    scanned = scan(film(moving(1, 8), fps=8))
    [said] = MeasureText().annotate([_clip(scanned, 0.1, 0.3)])
    assert isinstance(said, Reject)
    assert "too short" in str(said)


@pytest.mark.parametrize(
    ("then", "same"),
    [((0.2, 0.6), True), ((0.3, 0.2), True), ((0.3, 0.6), False), ((0.2, 0.41), False)],
)
def test_lines_of_other_lengths_on_one_foot_replace_each_other(then: tuple[float, float], same: bool) -> None:
    """From the left edge, or about the middle; a line of the same length may be the same line."""
    now, left, width = TextBox(0.2, 0.8, 0.4, 0.05, 1, 14.0), *then
    assert is_rewritten(now, TextBox(left, 0.8, width, 0.05, 1, 14.0)) is same
    assert not is_rewritten(now, TextBox(left, 0.85, width, 0.05, 1, 14.0))
