"""Measures writing in a clip with a text detector, and tells what lies over it from what is in the scene."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.strip import Still, read_strip
from stages.quality.overlays import PLAIN, STAYS, Look, Patch, around, gradients, look, moved_share

if TYPE_CHECKING:
    from stages.models.text_boxes import TextBox, TextBoxes

MOST, FEW = 0.6, 0.3  # shares of the structure around a line from which on, and below which, it moves
SAME_PLACE = 0.015  # of the picture: nearer than this, two lines stand on one place
LINE = 2.5  # width over height from which on text is a line
CHANGED = 0.6  # unrest of a line's own structure from which on it is no longer the same


class Clip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Text(Row):
    text_share: float = column("share of the picture under lines of text, mean over the looks", unit="0..1")
    overlay_text_share: float = column(
        "of that, under lines that stay while the picture moves, or change while it rests", unit="0..1"
    )
    scene_text_share: float = column("of that, under lines that move as the scene does", unit="0..1")
    resting_text_share: float = column(
        "of that, under lines that rest in a picture that rests: of the scene or over it", unit="0..1"
    )


class MeasureText(Annotate[Clip, Text]):
    """Up to `looks` stills of the strip, evenly spread, are read by the detector of PP-OCR.

    A line is compared with its own place in the stills before and after, and in the other looks: it is laid
    over the picture where it stays while what is around it moves, where it changes while that rests, or
    where lines of different length stand on one place. The three shares add up to `text_share`. Rejected:
    a clip in which no still lies.
    """

    needs = Needs(cpus=1, memory_gb=1, batch=8)

    looks: int = 4
    longer_side_px: int = 320  # of what the detector sees; larger finds smaller letters, at its square
    weights: str = ""  # an ONNX file of a PP-OCR detector; empty: the one that comes with rapidocr

    @cached_property
    def detector(self) -> "TextBoxes":
        from stages.models.text_boxes import TextBoxes

        return TextBoxes(self.weights, self.longer_side_px)

    def digest(self) -> str:
        from stages.models.text_boxes import weights_file
        from stages.models.weights import digest_of_files

        return digest_of_files([weights_file(self.weights)])

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Text | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            stills = read_strip(row, row.start_s, row.end_s)
            yield self._of(stills) if stills else Reject("too short to look for text: no still lies in it")

    def _of(self, stills: Sequence[Still]) -> Text:
        count = min(self.looks, len(stills))
        chosen = [(2 * k + 1) * len(stills) // (2 * count) for k in range(count)]
        found = {at: self.detector(decoded(stills[at])) for at in chosen}
        pair = _pairs_of(stills)
        shares = dict.fromkeys(("overlay", "scene", "resting"), 0.0)
        for at in chosen:
            others = [k for k in (at - 1, at + 1, *chosen) if 0 <= k < len(stills) and k != at]
            pairs = [pair(at, other) for other in others]
            for box in found[at]:
                written = any(is_rewritten(box, then) for k in chosen if k != at for then in found[k])
                shares["overlay" if written else kind_of(box, pairs)] += box.share / count
        return Text(
            text_share=sum(shares.values()),
            **{f"{kind}_text_share": share for kind, share in shares.items()},
        )


def is_rewritten(box: "TextBox", other: "TextBox") -> bool:
    """Whether two lines of different length stand on one place: on one foot, equally high, set alike."""
    foot, width = abs(box.y + box.height - other.y - other.height), abs(box.width - other.width)
    left, centre = box.x - other.x, box.x - other.x + (box.width - other.width) / 2
    return (
        min(box.aspect, other.aspect) > LINE
        and foot < SAME_PLACE
        and abs(box.height - other.height) < 0.25 * max(box.height, other.height)
        and width > 0.1 * max(box.width, other.width)
        and min(abs(left), abs(centre)) < SAME_PLACE
    )


def kind_of(box: "TextBox", pairs: Sequence[Look]) -> str:
    """Whether a line is an "overlay", of the "scene" or "resting", from looks at its still and others."""
    verdicts = {_verdict(box, seen) for seen in pairs}
    return next((kind for kind in ("overlay", "scene") if kind in verdicts), "resting")


def _verdict(box: "TextBox", seen: Look) -> str:
    """What one other still says about the line."""
    height, width = seen.strength.shape
    x, y = int(box.x * width), int(box.y * height)
    wide, high = max(1, round(box.width * width)), max(1, round(box.height * height))
    patch = Patch(x, y, wide, high, np.ones((high, wide), bool)[: height - y, : width - x], 1.0)
    inside = np.s_[y : y + high, x : x + wide]
    own = seen.unrest[inside][seen.strength[inside] > PLAIN]
    if not own.size:
        return "resting"
    unrest = float(np.median(own))
    moved, stayed, _ = around(seen, patch, PLAIN)
    picture = moved_share(seen)
    nearby = moved / (moved + stayed) if moved + stayed >= own.size / 4 else picture
    if unrest < STAYS and min(nearby, picture) >= MOST:
        return "overlay"
    if unrest > CHANGED and nearby <= FEW:
        return "overlay"
    return "scene" if unrest > CHANGED and nearby >= MOST else "resting"


def decoded(still: Still) -> np.ndarray:
    """uint8 BGR [h w 3]."""
    import cv2

    return cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_COLOR)


def _pairs_of(stills: Sequence[Still]) -> Callable[[int, int], Look]:
    """Looks at two stills by their numbers, made when first asked for."""

    @cache
    def slopes(k: int) -> np.ndarray:
        import cv2

        gray = cv2.cvtColor(decoded(stills[k]), cv2.COLOR_BGR2GRAY)
        half = max(gray.shape) > 320
        small = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if half else gray
        return gradients(small[None])

    @cache
    def pair(one: int, other: int) -> Look:
        return look(np.concatenate([slopes(one), slopes(other)]))

    return lambda one, other: pair(min(one, other), max(one, other))
