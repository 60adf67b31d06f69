"""SIFT matches between the frames of a video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import SettingError

Frames = npt.NDArray[np.uint8]  # [t h w 3], RGB
Array = npt.NDArray[np.float64]
MAX_FEATURES, RATIO = 2048, 0.8


def require_opencv() -> Any:
    """The module cv2.

    Raises:
        SettingError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise SettingError("this metric needs OpenCV", remedy="pip install opencv-python-headless") from error
    return cv2


@dataclass(frozen=True)
class Matches:
    """The matches of two frames.

    Attributes:
        first: Number of the first frame, or name of its camera.
        second: Those of the second frame.
        x0: Points in the first frame, [n 2] px; (0, 0) is the corner of the image.
        x1: The same points in the second frame.
    """

    first: int
    second: int
    x0: Array
    x1: Array

    @property
    def count(self) -> int:
        """Number of matches."""
        return len(self.x0)


@dataclass(frozen=True)
class Features:
    """Points [n 2] in px, and their descriptors [n 128]."""

    points: Array
    descriptors: npt.NDArray[np.float32]


def detect_features(image: npt.NDArray[np.uint8]) -> Features:
    """SIFT features of an image [h w 3], at most 2048 of them.

    The image pyramid maps index x to 2x (`enable_precise_upscale`), because OpenCV's default moves the points
    by a quarter of a pixel.
    """
    cv2 = require_opencv()
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT_create(nfeatures=MAX_FEATURES, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(gray, None)
    if descriptors is None or not len(keypoints):
        return Features(np.empty((0, 2)), np.empty((0, 128), np.float32))
    points = np.array([keypoint.pt for keypoint in keypoints], np.float64) + 0.5
    return Features(points, descriptors)


def match_features(first: Features, second: Features) -> tuple[Array, Array]:
    """The points of two images that match, [n 2] each.

    A match is kept if its distance is below 0.8 times that of the second best one. Source: Lowe 2004,
    doi:10.1023/B:VISI.0000029664.99615.94, section 7.1.
    """
    cv2 = require_opencv()
    if len(first.points) < 2 or len(second.points) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    nearest = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, k=2)
    kept = [
        (best.queryIdx, best.trainIdx) for best, other in nearest if best.distance < RATIO * other.distance
    ]
    if not kept:
        return np.empty((0, 2)), np.empty((0, 2))
    rows, columns = np.array(kept).T
    return first.points[rows], second.points[columns]


def match_frames(frames: Frames, gaps: Sequence[int], max_pairs: int) -> Mapping[int, list[Matches]]:
    """Matches of frames i and i + gap, for each gap at most `max_pairs` pairs, evenly spaced."""
    features: dict[int, Features] = {}
    found: dict[int, list[Matches]] = {}
    for gap in gaps:
        starts = _spaced(len(frames) - gap, max_pairs)
        for number in {*starts, *(start + gap for start in starts)}:
            if number not in features:
                features[number] = detect_features(frames[number])
        found[gap] = [
            Matches(start, start + gap, *match_features(features[start], features[start + gap]))
            for start in starts
        ]
    return found


def _spaced(count: int, limit: int) -> list[int]:
    """At most `limit` of the numbers below `count`, evenly spaced, with the first and the last."""
    if count <= limit:
        return list(range(max(0, count)))
    return sorted({round(number * (count - 1) / max(1, limit - 1)) for number in range(limit)})
