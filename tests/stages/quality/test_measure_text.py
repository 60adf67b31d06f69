"""Text overlays differ from text in the scene; where both rest, the text is ambiguous."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import Reject
from stages.footage.overlays import draw_subtitle
from stages.models.text_detector import TextBox, weights_file
from stages.models.weights import WeightsError
from stages.quality.measure_text import Clip, MeasureText, Text, is_replaced
from stages.scan.scan_video import ScannedVideo

Draw = Callable[..., Iterator[np.ndarray]]
SIZE, FPS, COUNT = (252, 448), 6, 24
SPEECH = ("Where were you last night?", "At sea, all night.")


def _subtitle(image: np.ndarray, k: int) -> None:
    draw_subtitle(image, SPEECH[k * len(SPEECH) // COUNT])


def _channel(image: np.ndarray, k: int) -> None:
    cv2.putText(image, "channel", (20, 40), cv2.FONT_HERSHEY_DUPLEX, 0.8, (250, 250, 250), 2, cv2.LINE_AA)


def _sign(image: np.ndarray, k: int) -> None:
    """Draw text in the scene, which moves as the camera does."""
    at = (300 - 8 * k, 130 - k)
    cv2.putText(image, "BAKERY", at, cv2.FONT_HERSHEY_DUPLEX, 1.2, (250, 250, 250), 3, cv2.LINE_AA)


@pytest.fixture
def measured(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> Callable[..., Text]:
    """Measure a camera that pans or rests, with text in the images."""
    try:
        weights_file()
    except WeightsError as error:
        pytest.skip(str(error))

    def measure(write: Callable[[np.ndarray, int], None] | None, *, pans: bool = True) -> Text:
        images = [p.copy() for p in moving(5, COUNT, size=SIZE, step=(8, 1) if pans else (0, 0))]
        for k, image in enumerate(images):
            if write:
                write(image, k)
        [row] = MeasureText().annotate([_clip(scan(film(images, fps=FPS)))])
        assert isinstance(row, Text)
        parts = row.overlay_text_share + row.scene_text_share + row.ambiguous_text_share
        assert row.text_share == pytest.approx(parts)
        return row

    return measure


def _clip(scanned: ScannedVideo, start_s: float = 0.0, end_s: float = 1e9) -> Clip:
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    return Clip(**stored, start_s=start_s, end_s=end_s)


def test_a_clip_without_text_has_no_text_share(measured: Callable[..., Text]) -> None:
    assert measured(None).text_share == 0


def test_a_subtitle_is_an_overlay_whether_the_image_moves_or_not(measured: Callable[..., Text]) -> None:
    for pans in (True, False):
        row = measured(_subtitle, pans=pans)
        assert row.overlay_text_share > 0.02
        assert row.scene_text_share == row.ambiguous_text_share == 0


def test_a_static_word_is_an_overlay_only_where_the_image_moves(measured: Callable[..., Text]) -> None:
    moving, static = measured(_channel), measured(_channel, pans=False)
    assert moving.overlay_text_share > 0.01
    assert static.overlay_text_share == 0
    assert static.ambiguous_text_share > 0.01


def test_a_sign_that_moves_with_the_scene_is_scene_text(measured: Callable[..., Text]) -> None:
    row = measured(_sign)
    assert row.scene_text_share > 0.01
    assert row.overlay_text_share == 0


def test_other_weights_give_another_digest(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"other weights")
    assert MeasureText().digest() != MeasureText(weights=str(tmp_path / "own.onnx")).digest()
    with pytest.raises(WeightsError, match="no weights"):
        MeasureText(weights=str(tmp_path / "none.onnx")).digest()


def test_a_clip_without_a_still_is_rejected(
    film: Callable[..., Path], scan: Callable[..., ScannedVideo], moving: Draw
) -> None:
    scanned = scan(film(moving(1, 8), fps=8))
    [row] = MeasureText().annotate([_clip(scanned, 0.1, 0.3)])
    assert isinstance(row, Reject)
    assert "too short" in str(row)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0.2, 0.6), True), ((0.3, 0.2), True), ((0.3, 0.6), False), ((0.2, 0.41), False)],
)
def test_lines_of_other_length_at_one_place_replace_each_other(
    other: tuple[float, float], expected: bool
) -> None:
    """Lines may be aligned left or centered. A line of equal length may be the same line."""
    box, left, width = TextBox(0.2, 0.8, 0.4, 0.05, 1, 14.0), *other
    assert is_replaced(box, TextBox(left, 0.8, width, 0.05, 1, 14.0)) is expected
    assert not is_replaced(box, TextBox(left, 0.85, width, 0.05, 1, 14.0))
