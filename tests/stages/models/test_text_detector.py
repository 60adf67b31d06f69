"""The detector finds lines of text at their places; errors name what is wrong with its weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.models.text_detector import TextDetector, weights_file
from stages.models.weights import WeightsError


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    try:
        weights_file()
    except WeightsError as error:
        pytest.skip(str(error))
    return TextDetector()


def _image(text: str = "", at: tuple[int, int] = (120, 220)) -> np.ndarray:
    rng = np.random.default_rng(3)
    image = cv2.resize(rng.integers(40, 160, (9, 16, 3), np.uint8), (448, 252))
    return cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, 0.8, (250, 250, 250), 2, cv2.LINE_AA)


def test_a_line_is_found_at_its_place(detector: TextDetector) -> None:
    [box] = detector(_image("Where were you?"))
    assert box.x == pytest.approx(120 / 448, abs=0.04)
    assert box.y + box.height == pytest.approx(222 / 252, abs=0.06)
    assert box.aspect > 4
    assert 0 < box.area_share < 0.1
    assert box.confidence > 0.6


def test_two_lines_are_ordered_from_top_to_bottom(detector: TextDetector) -> None:
    both = cv2.putText(
        _image("Nothing is lost"), "AT SEA", (40, 60), cv2.FONT_HERSHEY_DUPLEX, 1, (9, 9, 9), 2
    )
    upper, lower = detector(both)
    assert upper.y < 0.3 < 0.7 < lower.y


def test_an_image_without_text_has_no_lines(detector: TextDetector) -> None:
    assert detector(_image()) == []


def test_images_of_any_shape_and_size_work(detector: TextDetector) -> None:
    for size in ((37, 21), (64, 900), (252, 448)):
        assert detector.probabilities(np.zeros((*size, 3), np.uint8)).ndim == 2


def test_missing_or_broken_weights_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights") as missing:
        TextDetector(str(tmp_path / "none.onnx"))
    assert "none.onnx" in missing.value.where
    (tmp_path / "broken.onnx").write_bytes(b"nothing of use")
    with pytest.raises(WeightsError, match="cannot be read") as broken:
        TextDetector(str(tmp_path / "broken.onnx"))
    assert "PP-OCR" in broken.value.remedy


def test_without_the_package_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.text_detector.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="no weights") as error:
        weights_file()
    assert "install rapidocr" in error.value.remedy
