"""Finds lines of text in an image with the PP-OCR detector, whose weights come with `rapidocr`.

Only the detector runs: a convolutional network that gives for each pixel the probability of text (Liao et al.
2020, "Real-time scene text detection with differentiable binarization"). onnxruntime runs it on one thread.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.models.weights import WeightsError, open_onnx

MIN_PIXEL_PROBABILITY, MIN_LINE_PROBABILITY = 0.3, 0.6  # of one pixel; mean over the pixels of a line
STEP = 32  # px; the sides of the network's input are multiples of it
MAX_HEIGHT_SHARE, MIN_SIDE_PX = 0.2, 3  # of a line: share of the image's height; px of the probability map

Image = npt.NDArray[np.uint8]  # BGR [h w 3]
ProbabilityMap = npt.NDArray[np.float32]  # [h w]


class TextBox(NamedTuple):
    """An upright box around a line of text, in shares of the image's width and height.

    Attributes:
        confidence: Mean probability of the line's pixels, 0 … 1.
        aspect: Width over height, both in px.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float
    aspect: float

    @property
    def area_share(self) -> float:
        """Share of the image's area."""
        return self.width * self.height


class TextDetector:
    """The detector, loaded.

    Args:
        weights: An ONNX file; empty: the detector that comes with `rapidocr`.
        longer_side_px: Longer side of the network's input, in px.

    Raises:
        WeightsError: neither the file nor the detector of `rapidocr` can be read.
    """

    def __init__(self, weights: str = "", longer_side_px: int = 320) -> None:
        self._px = longer_side_px
        self._network = open_onnx(
            weights_file(weights), "the text detector", "name an ONNX file of a PP-OCR detector"
        )
        self._input = self._network.get_inputs()[0].name

    def __call__(self, image: Image) -> list[TextBox]:
        """Return the lines of text in an image, uint8 BGR [h w 3], from top to bottom."""
        return _boxes(self.probabilities(image))

    def probabilities(self, image: Image) -> ProbabilityMap:
        """Return the probability of text for each pixel of the resized image, float32 [h w]."""
        import cv2

        height, width = image.shape[:2]
        scale = self._px / max(height, width)
        size = [max(STEP, round(side * scale / STEP) * STEP) for side in (width, height)]
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, size, interpolation=interpolation).astype(np.float32) / 127.5 - 1
        inputs = np.ascontiguousarray(resized.transpose(2, 0, 1)[None])
        outputs: ProbabilityMap = self._network.run(None, {self._input: inputs})[0][0, 0]
        return outputs


def weights_file(file: str = "") -> Path:
    """Return the path of `file`, or of the detector that comes with `rapidocr` if `file` is empty.

    Raises:
        WeightsError: the file does not exist; or `rapidocr` is not installed, or holds no detector.
    """
    if file:
        if not Path(file).is_file():
            raise WeightsError("the text detector has no weights", where=file, remedy="name an ONNX file")
        return Path(file)
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path("rapidocr/models")
    files = sorted(folder.glob("*det*.onnx"))
    if not files:
        raise WeightsError(
            "the text detector has no weights",
            where=str(folder),
            remedy="install rapidocr, or name an ONNX file of a PP-OCR detector",
        )
    return files[-1]


def _boxes(probabilities: ProbabilityMap) -> list[TextBox]:
    import cv2

    height, width = probabilities.shape
    mask = (probabilities > MIN_PIXEL_PROBABILITY).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = []
    for k in range(1, count):
        x, y, w, h, _ = (int(n) for n in stats[k])
        inside = np.s_[y : y + h, x : x + w]
        confidence = float(probabilities[inside][labels[inside] == k].mean())
        too_small, too_high = min(w, h) < MIN_SIDE_PX, h > MAX_HEIGHT_SHARE * height
        if confidence < MIN_LINE_PROBABILITY or too_small or too_high:
            continue
        # The network marks only the middle of a line. Its edges are D = 1.5 A / L farther out in the paper.
        margin = 1.5 * w * h / (2 * (w + h))
        left, top = max(0.0, x - margin), max(0.0, y - margin)
        right, bottom = min(float(width), x + w + margin), min(float(height), y + h + margin)
        boxes.append(
            TextBox(
                left / width,
                top / height,
                (right - left) / width,
                (bottom - top) / height,
                confidence,
                aspect=(right - left) / (bottom - top),
            )
        )
    return sorted(boxes, key=lambda box: (box.y, box.x))
