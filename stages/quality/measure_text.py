"""Measures text in a clip with a text detector, and separates overlays from text in the scene."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests import Artifact, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.strip import CroppedStills, Still, read_strip
from stages.quality.measures.overlay_detection import (
    MAX_STATIC,
    MEDIUM,
    Patch,
    Structure,
    count_surroundings,
    gradients,
    measure_structure,
    moving_share,
)

if TYPE_CHECKING:
    from stages.models.text_detector import TextBox, TextDetector

# Share of the structure around a line that moves: from the first on it moves, up to the second it rests.
MOVING_AROUND, RESTING_AROUND = 0.6, 0.3
SAME_PLACE = 0.015  # distance below which two lines are at one place, as a share of the image side
MIN_LINE_ASPECT = 2.5  # width over height above which text is a line
CHANGED = 0.6  # instability of a line's own structure above which it is another line

Image = npt.NDArray[np.uint8]  # BGR [h w 3]


class Clip(CroppedStills):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Text(Row):
    text_share: float = column(
        "share of the image under lines of text, mean over the stills that are searched", unit="0..1"
    )
    overlay_text_share: float = column(
        "share of the image under text that rests while the image moves, or changes while the image rests",
        unit="0..1",
    )
    scene_text_share: float = column(
        "share of the image under text that moves as the scene does", unit="0..1"
    )
    ambiguous_text_share: float = column(
        "share of the image under text that rests in an image that rests: in the scene or an overlay",
        unit="0..1",
    )


class MeasureText(Annotate[Clip, Text]):
    """Searches evenly spread stills of the strip for lines of text with the detector of PP-OCR.

    Each line is compared with the same place in the stills before and after, and in the other searched
    stills. It is an overlay in one of three cases: it rests while its surroundings move, it changes while
    they rest, or lines of different length appear at one place. The shares of overlay, scene and ambiguous
    text add up to `text_share`. A clip without a still is rejected.

    Attributes:
        max_stills: Stills of a clip that are searched, at most. Higher values find text that is shown more
            briefly, and take longer.
        longer_side_px: Longer side in px of the detector's input. Higher values find smaller letters, at a
            cost that grows with the square.
        weights: An ONNX file of a PP-OCR detector; empty: the one that comes with rapidocr.
    """

    version = 2
    needs = Needs(cpus=1, memory_gb=1, batch=8)

    max_stills: PositiveInt = 4
    longer_side_px: PositiveInt = 320
    weights: str = ""

    @cached_property
    def detector(self) -> "TextDetector":
        from stages.models.text_detector import TextDetector

        return TextDetector(self.weights, self.longer_side_px)

    def digest(self) -> str:
        from stages.models.text_detector import weights_file
        from stages.models.weights import digest_of_files

        return digest_of_files([weights_file(self.weights)])

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Text | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            stills = read_strip(row, row.start_s, row.end_s)
            yield self._text(stills) if stills else Reject("too short to find text: the clip has no still")

    def _text(self, stills: Sequence[Still]) -> Text:
        count = min(self.max_stills, len(stills))
        chosen = [(2 * k + 1) * len(stills) // (2 * count) for k in range(count)]
        boxes = {at: self.detector(decode_bgr(stills[at])) for at in chosen}
        structure_of = _pair_structures(stills)
        shares = dict.fromkeys(("overlay", "scene", "ambiguous"), 0.0)
        for at in chosen:
            others = [k for k in (at - 1, at + 1, *chosen) if 0 <= k < len(stills) and k != at]
            pairs = [structure_of(at, other) for other in others]
            for box in boxes[at]:
                replaced = any(is_replaced(box, other) for k in chosen if k != at for other in boxes[k])
                shares["overlay" if replaced else classify(box, pairs)] += box.area_share / count
        return Text(
            text_share=sum(shares.values()),
            **{f"{kind}_text_share": share for kind, share in shares.items()},
        )


def is_replaced(box: "TextBox", other: "TextBox") -> bool:
    """Return whether two lines differ in length, but share bottom edge, height and alignment."""
    bottom, width = abs(box.y + box.height - other.y - other.height), abs(box.width - other.width)
    left, center = box.x - other.x, box.x - other.x + (box.width - other.width) / 2
    return (
        min(box.aspect, other.aspect) > MIN_LINE_ASPECT
        and bottom < SAME_PLACE
        and abs(box.height - other.height) < 0.25 * max(box.height, other.height)
        and width > 0.1 * max(box.width, other.width)
        and min(abs(left), abs(center)) < SAME_PLACE
    )


def classify(box: "TextBox", pairs: Sequence[Structure]) -> str:
    """Return "overlay", "scene" or "ambiguous" for a line, from the structure of its still and others."""
    kinds = {_classify_pair(box, pair) for pair in pairs}
    return next((kind for kind in ("overlay", "scene") if kind in kinds), "ambiguous")


def _classify_pair(box: "TextBox", pair: Structure) -> str:
    """Classify a line from its still and one other."""
    height, width = pair.strength.shape
    x, y = int(box.x * width), int(box.y * height)
    w, h = max(1, round(box.width * width)), max(1, round(box.height * height))
    patch = Patch(x, y, w, h, np.ones((h, w), bool)[: height - y, : width - x], 1.0)
    inside = np.s_[y : y + h, x : x + w]
    own = pair.instability[inside][pair.strength[inside] > MEDIUM]
    if not own.size:
        return "ambiguous"
    instability = float(np.median(own))
    ring = count_surroundings(pair, patch, MEDIUM)
    image = moving_share(pair)
    known = ring.moving + ring.static
    nearby = ring.moving / known if known >= own.size / 4 else image
    if instability < MAX_STATIC and min(nearby, image) >= MOVING_AROUND:
        return "overlay"
    if instability > CHANGED and nearby <= RESTING_AROUND:
        return "overlay"
    return "scene" if instability > CHANGED and nearby >= MOVING_AROUND else "ambiguous"


def decode_bgr(still: Still) -> Image:
    """Decode a still to uint8 BGR [h w 3]."""
    import cv2

    return np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _pair_structures(stills: Sequence[Still]) -> Callable[[int, int], Structure]:
    """Return a function that gives the structure over two stills by their numbers, computed once each."""

    @cache
    def slopes(k: int) -> npt.NDArray[np.float32]:
        import cv2

        gray = cv2.cvtColor(decode_bgr(stills[k]), cv2.COLOR_BGR2GRAY)
        is_large = max(gray.shape) > 320
        small = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if is_large else gray
        return gradients(np.asarray(small, np.uint8)[None])

    @cache
    def pair(one: int, other: int) -> Structure:
        return measure_structure(np.concatenate([slopes(one), slopes(other)]))

    return lambda one, other: pair(min(one, other), max(one, other))
