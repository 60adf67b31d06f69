"""Finds lines of text in a picture with the detector of PP-OCR, whose weights come with `rapidocr`.

Only the detector runs: a convolutional network that says for each pixel how likely it is to belong to a
line of text (Liao et al. 2020, "Real-time scene text detection with differentiable binarization"). Its
files are read by onnxruntime, on one thread.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.models.weights import NoWeights

LIKELY, SURE = 0.3, 0.6  # of a pixel of a line; of a line, on average
STEP = 32  # px; the sides of what the network sees are multiples of it
HIGHEST, LOWEST_PX = 0.2, 3  # of the picture's height, px of the map: a line is neither higher nor lower


class TextBox(NamedTuple):
    """An upright box around a line of text, in shares of the picture's width and height."""

    x: float
    y: float
    width: float
    height: float
    sure: float  # 0 … 1
    aspect: float  # width over height, both in px

    @property
    def share(self) -> float:
        """Of the picture's area."""
        return self.width * self.height


class TextBoxes:
    """The detector, loaded.

    Raises:
        NoWeights: neither the file that is named nor the one of `rapidocr` can be read.
    """

    def __init__(self, weights: str = "", longer_side_px: int = 320) -> None:
        import onnxruntime

        self._px = longer_side_px
        path = weights_file(weights)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._network = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise NoWeights(
                f"the text detector's weights cannot be read: {str(error).splitlines()[0]}",
                where=str(path),
                remedy="name an ONNX file of a PP-OCR detector",
            ) from error
        self._input = self._network.get_inputs()[0].name

    def __call__(self, picture: np.ndarray) -> list[TextBox]:
        """The lines of text in a picture, uint8 BGR [h w 3], from the top down."""
        return list(_boxes(self.likelihood(picture)))

    def likelihood(self, picture: np.ndarray) -> np.ndarray:
        """For each pixel of the picture made small, how likely it belongs to a line; float32 [h w]."""
        import cv2

        height, width = picture.shape[:2]
        scale = self._px / max(height, width)
        size = [max(STEP, round(side * scale / STEP) * STEP) for side in (width, height)]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = cv2.resize(picture, size, interpolation=how).astype(np.float32) / 127.5 - 1
        fed = np.ascontiguousarray(seen.transpose(2, 0, 1)[None])
        said: np.ndarray = self._network.run(None, {self._input: fed})[0][0, 0]
        return said


def weights_file(named: str = "") -> Path:
    """The file that is named, or the detector that comes with `rapidocr`.

    Raises:
        NoWeights: there is no such file; or `rapidocr` is not installed, or holds no detector.
    """
    if named:
        if not Path(named).is_file():
            raise NoWeights("the text detector has no weights", where=named, remedy="name an ONNX file")
        return Path(named)
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path("rapidocr/models")
    found = sorted(folder.glob("*det*.onnx"))
    if not found:
        raise NoWeights(
            "the text detector has no weights",
            where=str(folder),
            remedy="install rapidocr, or name an ONNX file of a PP-OCR detector",
        )
    return found[-1]


def _boxes(likelihood: np.ndarray) -> list[TextBox]:
    import cv2

    height, width = likelihood.shape
    mask = (likelihood > LIKELY).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for k in range(1, count):
        x, y, wide, high, _ = (int(n) for n in boxes[k])
        sure = float(likelihood[y : y + high, x : x + wide][labels[y : y + high, x : x + wide] == k].mean())
        if sure < SURE or min(wide, high) < LOWEST_PX or high > HIGHEST * height:
            continue
        # The network marks the middle of a line: its edges lie farther out (the paper's D = 1.5 A / L).
        out = 1.5 * wide * high / (2 * (wide + high))
        left, top = max(0.0, x - out), max(0.0, y - out)
        right, foot = min(float(width), x + wide + out), min(float(height), y + high + out)
        found.append(
            TextBox(
                left / width,
                top / height,
                (right - left) / width,
                (foot - top) / height,
                sure,
                aspect=(right - left) / (foot - top),
            )
        )
    return sorted(found, key=lambda box: (box.y, box.x))
