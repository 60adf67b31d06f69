"""Measures what was laid over a clip: marks and lines of speech, told by how they stay, without a network."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.media.strip import Still, read_strip
from stages.quality.overlays import Look, gradients, lines, look, marks, moved_share, replaced

RUN = 3  # stills through which a line of speech stands: 1.5 s of two a second are sure to hold them
LEAST_PX = 32  # of either side
STRETCH = 8  # consecutive stills that are taken of a long clip at a time
BLACK, MARGIN = 24, 0.012  # luma of a bar beside the picture; of the longer side, what is cut off beside one


class Clip(Row):
    strip: Artifact
    strip_times_s: tuple[float, ...]
    strip_offsets: tuple[int, ...]
    start_s: float
    end_s: float


class Overlay(Row):
    overlay_share: float = column("share of the picture under marks or lines, the greater", unit="0..1")
    logo_share: float = column(
        "share under what rests all through while the picture moves, or shots change", unit="0..1"
    )
    subtitle_share: float = column(
        "share under a line that rests while the picture moves, or changes at once while it rests; "
        "of the moment with most",
        unit="0..1",
    )
    overlay_moved_share: float = column(
        "share of the picture's structure that moves; a mark on a picture that rests is not told from it",
        unit="0..1",
    )


class MeasureOverlay(Annotate[Clip, Overlay]):
    """Subtitles, tickers, logos and watermarks, from the strip.

    Of a long clip, `most_stills` are looked at, in stretches of eight that lie evenly. So are up to
    `others` stills of the rest of the video: a mark that stands through several shots is told even where
    this one rests. Rejected: a clip of fewer than three stills, or of stills less than 32 px high or wide.
    """

    from_store = True
    needs = Needs(batch=8)

    most_stills: int = 32
    others: int = 8

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Overlay | Reject]:
        import cv2

        cv2.setNumThreads(1)
        for row in rows:
            stretches = [pictures(stills) for stills in self._stretches(row)]
            if sum(map(len, stretches)) < 3:
                yield Reject("too short to tell an overlay: fewer than three stills lie in the clip")
                continue
            elsewhere = pictures(self._elsewhere(row))
            shown = inside([*stretches, elsewhere] if len(elsewhere) else stretches)
            height, width = shown[0].shape[1:]
            if min(height, width) < LEAST_PX:
                yield Reject(f"too small to tell an overlay: {width} x {height} px of each still")
                continue
            yield self._of(shown, len(stretches))

    def _stretches(self, row: Clip) -> list[list[Still]]:
        stills = read_strip(row, row.start_s, row.end_s)
        if len(stills) <= self.most_stills:
            return [stills]
        count = max(1, self.most_stills // STRETCH)
        starts = np.linspace(0, len(stills) - STRETCH, count).astype(int)
        return [stills[start : start + STRETCH] for start in starts]

    def _elsewhere(self, row: Clip) -> list[Still]:
        times = [t for t in row.strip_times_s if not row.start_s <= t < row.end_s]
        count = min(self.others, len(times))
        chosen = [times[(2 * k + 1) * len(times) // (2 * count)] for k in range(count)]
        return [still for t in chosen for still in read_strip(row, t, math.nextafter(t, math.inf))]

    def _of(self, stretches: list[np.ndarray], own: int) -> Overlay:
        """From stills [t h w] of the first `own` stretches, and, if there is one more, of other shots."""
        slopes = [gradients(stretch) for stretch in stretches]
        clip = slopes[0] if own == 1 else np.concatenate(slopes[:own])
        whole = look(clip)
        mark = marks(whole)
        if len(slopes) > own:
            others = slopes[own]
            picked = clip[np.linspace(0, len(clip) - 1, min(len(clip), len(others))).astype(int)]
            mark = max(mark, marks(look(np.concatenate([picked, others]))))
        line = max(max(_lines(stretch), default=0.0) for stretch in slopes[:own])
        return Overlay(
            overlay_share=max(mark, line),
            logo_share=mark,
            subtitle_share=line,
            overlay_moved_share=moved_share(whole),
        )


def _lines(slopes: np.ndarray) -> Iterator[float]:
    """The shares under lines, moment by moment, from the gradients of consecutive stills [t 2 h w]."""
    for start in range(max(1, len(slopes) - RUN + 1)):
        yield lines(look(slopes[start : start + RUN]))
    singles: list[Look] = [look(slopes[k : k + 1]) for k in range(len(slopes))]
    pairs = [look(slopes[k : k + 2]) for k in range(len(slopes) - 1)]
    for at in range(1, len(slopes) - 2):
        yield replaced(singles, pairs, at)


def pictures(stills: Sequence[Still]) -> np.ndarray:
    """The stills as luma, uint8 [t h w]; at half their size, where that leaves enough."""
    import cv2

    def decoded(still: Still, how: int) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), how)

    if not stills:
        return np.zeros((0, 1, 1), np.uint8)
    first = decoded(stills[0], cv2.IMREAD_GRAYSCALE)
    how = cv2.IMREAD_REDUCED_GRAYSCALE_2 if max(first.shape) > 320 else cv2.IMREAD_GRAYSCALE
    return np.stack([decoded(still, how) for still in stills])


def inside(stretches: list[np.ndarray]) -> list[np.ndarray]:
    """The pictures [t h w] without black bars on their sides, and a little less where there are some."""
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
