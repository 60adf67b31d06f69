"""Measures logos, watermarks and subtitles of a clip: by how they rest and change, and as resting text."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeInt, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.strip import CroppedStills, Still, read_strip
from stages.quality.measures.overlay_detection import (
    gradients,
    logo_share,
    measure_structure,
    moving_share,
    replaced_line_share,
    static_edges,
    static_line_share,
)
from stages.quality.measures.text_marks import TextMarks, median_image, text_marks

if TYPE_CHECKING:
    from stages.models.text_detector import TextDetector

LINE_STILLS = 3  # consecutive stills in which a subtitle rests; at two stills per s, any 1.5 s hold them
MIN_SIDE_PX = 32  # of both sides of a still
STRETCH = 8  # consecutive stills in a stretch of a long clip, and in the median that is searched for text
BLACK = 24  # luma, of 255, below which an area at the side is a black bar
MARGIN = 0.012  # cut off beside a black bar, as a share of the longer side

Luma = npt.NDArray[np.uint8]  # [t h w]


class Clip(CroppedStills):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Overlay(Row):
    overlay_share: float = column(
        "share of the image under overlays: the larger of logo_share and subtitle_share", unit="0..1"
    )
    logo_share: float = column(
        "share of the image under structure that rests through the whole clip while the image moves or shots "
        "change, or under text that rests in a corner",
        unit="0..1",
    )
    subtitle_share: float = column(
        "share of the image under a line that rests while the image moves, or is replaced while the image "
        "rests, or under text that rests at the bottom; maximum over time",
        unit="0..1",
    )
    moving_area_share: float = column(
        "share of the image area with structure that moves; near 0, only text is evidence of a logo",
        unit="0..1",
    )


class MeasureOverlay(Annotate[Clip, Overlay]):
    """Measures subtitles, tickers, logos and watermarks, from the strip.

    Stills of the rest of the video are compared too, so a logo that stays through several shots is found even
    if this shot is static. A clip is rejected if it has fewer than three stills, or stills with a side under
    32 px.

    Attributes:
        max_stills: Stills of a clip that are used, at most. A longer clip is sampled in evenly spread
            stretches of eight consecutive stills. Higher values take longer.
        max_other_stills: Stills of the rest of the video that are used, at most. 0 uses the clip alone.
            Higher values take longer.
        text_px: Longer side in px of the images in which text is searched; 0 searches for none. Higher values
            find smaller text and take longer.
    """

    version = 3
    from_store = True
    needs = Needs(cpus=1, memory_gb=1, batch=8)

    max_stills: PositiveInt = 32
    max_other_stills: NonNegativeInt = 8
    text_px: NonNegativeInt = 896

    @cached_property
    def detector(self) -> "TextDetector | None":
        from stages.models.text_detector import TextDetector

        return TextDetector(longer_side_px=self.text_px) if self.text_px else None

    def digest(self) -> str:
        from stages.models.text_detector import weights_file
        from stages.models.weights import digest_of_files

        return digest_of_files([weights_file()]) if self.text_px else ""

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Overlay | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            stills = self._stretches(row)
            stretches = [decode_luma(stretch) for stretch in stills]
            if sum(map(len, stretches)) < 3:
                yield Reject("too short to detect overlays: fewer than three stills in the clip")
                continue
            others = decode_luma(self._other_stills(row))
            cropped = crop_black_bars([*stretches, others] if len(others) else stretches)
            height, width = cropped[0].shape[1:]
            if min(height, width) < MIN_SIDE_PX:
                yield Reject(f"too small to detect overlays: stills of {width} x {height} px")
                continue
            yield self._overlay(cropped, len(stretches), self._text_marks(stills[len(stills) // 2]))

    def _stretches(self, row: Clip) -> list[list[Still]]:
        stills = read_strip(row, row.start_s, row.end_s)
        if len(stills) <= self.max_stills:
            return [stills]
        count = max(1, self.max_stills // STRETCH)
        starts = np.linspace(0, len(stills) - STRETCH, count).astype(int)
        return [stills[start : start + STRETCH] for start in starts]

    def _other_stills(self, row: Clip) -> list[Still]:
        """Return evenly spread stills of the video outside the clip."""
        times = [t for t in row.strip_times_s if not row.start_s <= t < row.end_s]
        count = min(self.max_other_stills, len(times))
        chosen = [times[(2 * k + 1) * len(times) // (2 * count)] for k in range(count)]
        return [still for t in chosen for still in read_strip(row, t, math.nextafter(t, math.inf))]

    def _text_marks(self, stills: Sequence[Still]) -> TextMarks:
        """Search the median of the middle stills for text."""
        start = max(0, (len(stills) - STRETCH) // 2)
        found = self.detector(median_image(stills[start : start + STRETCH])) if self.detector else []
        return text_marks(found)

    def _overlay(self, stretches: list[Luma], own: int, text: TextMarks) -> Overlay:
        """Measure stills [t h w]: the first `own` stretches are of the clip, one more is of other shots."""
        slopes = [gradients(stretch) for stretch in stretches]
        clip = slopes[0] if own == 1 else np.concatenate(slopes[:own])
        structure = measure_structure(clip)
        logo = logo_share(structure, static_edges(clip))
        if len(slopes) > own:
            others = slopes[own]
            chosen = clip[np.linspace(0, len(clip) - 1, min(len(clip), len(others))).astype(int)]
            all_shots = np.concatenate([chosen, others])
            logo = max(logo, logo_share(measure_structure(all_shots), static_edges(all_shots)))
        logo = max(logo, text.corner)
        lines = (max(_line_shares(stretch), default=0.0) for stretch in slopes[:own])
        subtitle = max(text.bottom, *lines)
        return Overlay(
            overlay_share=max(logo, subtitle),
            logo_share=logo,
            subtitle_share=subtitle,
            moving_area_share=moving_share(structure),
        )


def _line_shares(slopes: npt.NDArray[np.float32]) -> Iterator[float]:
    """Yield the share under lines at each moment, from the gradients of consecutive stills [t 2 h w]."""
    for start in range(max(1, len(slopes) - LINE_STILLS + 1)):
        yield static_line_share(measure_structure(slopes[start : start + LINE_STILLS]))
    singles = [measure_structure(slopes[k : k + 1]) for k in range(len(slopes))]
    pairs = [measure_structure(slopes[k : k + 2]) for k in range(len(slopes) - 1)]
    for at in range(1, len(slopes) - 2):
        yield replaced_line_share(singles, pairs, at)


def decode_luma(stills: Sequence[Still]) -> Luma:
    """Decode stills to luma, uint8 [t h w], at half size if the longer side exceeds 320 px."""
    import cv2

    def decode(still: Still, flags: int) -> Luma:
        return np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), flags), np.uint8)

    if not stills:
        return np.zeros((0, 1, 1), np.uint8)
    first = decode(stills[0], cv2.IMREAD_GRAYSCALE)
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_2 if max(first.shape) > 320 else cv2.IMREAD_GRAYSCALE
    return np.stack([decode(still, flags) for still in stills])


def crop_black_bars(stretches: list[Luma]) -> list[Luma]:
    """Crop the images [t h w] to the area without black bars at the sides, plus a margin beside each bar."""
    mean = np.mean([stretch.mean(axis=0) for stretch in stretches], axis=0)
    height, width = mean.shape
    margin = round(MARGIN * max(height, width))
    lit_rows, lit_columns = (np.percentile(mean, 95, axis=axis) >= BLACK for axis in (1, 0))
    top, bottom, left, right = (
        min(int(lit.argmax()), lit.size // 4)
        for lit in (lit_rows, lit_rows[::-1], lit_columns, lit_columns[::-1])
    )
    top, bottom, left, right = (side + (margin if side else 1) for side in (top, bottom, left, right))
    return [stretch[:, top : height - bottom, left : width - right] for stretch in stretches]
