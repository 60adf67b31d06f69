"""Measures defects of a clip's frames: black borders, frozen stretches, repeated frames and slideshows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, Row, Share, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.measures.repeated_frames import find_repeated

SIDES = ("border_top", "border_bottom", "border_left", "border_right")


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Frames(Row):
    border_share: float = column("share of the image area covered by black borders at its sides", unit="0..1")
    frozen_share: float = column("share of the frames in stretches that repeat one frame", unit="0..1")
    repeated_share: float = column("share of the frames that repeat the frame before", unit="0..1")
    slideshow_share: float = column(
        "share of the frames in still images and in the transitions between them", unit="0..1"
    )
    effective_fps: float = column("frames per second that do not repeat the frame before", unit="1/s")


class MeasureFrame(Annotate[Clip, Frames]):
    """Measures black borders, frozen stretches, repeated frames and slideshows, from the signals.

    **Borders.** A border is an area that is black in nine of ten stills, equally wide at two opposite
    sides. A dark sky is therefore no border. Bars that are not black do not count.

    **Repeats.** A frame repeats the frame before if no pixel of the scaled-down frame changed by more than
    `max_repeat_change`, or if the whole frame changed little between frames that changed much. A stretch of
    repeats is frozen if it lasts `min_frozen_s`. Footage of a lower frame rate in a file of a higher rate
    is not frozen.

    **Slideshows.** A slideshow is two or more images, each still for `min_slide_s`, with transitions of at
    most `max_transition_s` between them. Images that slowly move or grow look like camera motion, so they
    do not count.

    A clip without a still is rejected.

    Attributes:
        max_repeat_change: Change of a pixel, in luma levels of 0 to 255, up to which it counts as equal.
        min_frozen_s: Length in s from which a stretch of repeated frames is frozen.
        min_slide_s: Length in s from which an image that rests can be a slide.
        max_transition_s: Length in s of a transition between two slides, at most.
        min_slide_difference: Sum of the mean luma changes over a transition, in levels of 0 to 255, from
            which the next image is another one.
        border_tolerance: Difference of two opposite borders, as a share of the image side, at most.
    """

    version = 3
    from_store = True

    max_repeat_change: NonNegativeFloat = 6.0
    min_frozen_s: NonNegativeFloat = 0.4
    min_slide_s: NonNegativeFloat = 0.5
    max_transition_s: NonNegativeFloat = 1.5
    min_slide_difference: NonNegativeFloat = 2.0
    border_tolerance: Share = 0.02

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Frames | Reject]:
        for row in rows:
            signals = read_signals(
                row.signals, (*SIDES, "change_max", "change_mean"), row.start_frame, row.end_frame
            )
            measured = np.isfinite(signals[SIDES[0]])
            if not measured.any():
                yield Reject("too short to measure borders: the clip has no still")
                continue
            top, bottom, left, right = (float(np.percentile(signals[side][measured], 10)) for side in SIDES)
            content = self._content_share(top, bottom) * self._content_share(left, right)
            repeats = find_repeated(signals["change_max"], signals["change_mean"], self.max_repeat_change)
            count, frames = int(repeats.sum()), row.end_frame - row.start_frame
            min_frozen_frames = self.min_frozen_s * frames / row.duration_s
            frozen = sum(b - a for a, b in _stretches(repeats, min_frozen_frames))
            yield Frames(
                border_share=1 - content,
                frozen_share=frozen / max(1, len(repeats)),
                repeated_share=count / max(1, len(repeats)),
                slideshow_share=self._slideshow_share(
                    repeats, signals["change_mean"][1:], frames / row.duration_s
                ),
                effective_fps=(frames - count) / row.duration_s,
            )

    def _content_share(self, one: float, other: float) -> float:
        """Return the share of an image side that two opposite borders leave."""
        return max(0.0, 1 - one - other) if abs(one - other) <= self.border_tolerance else 1.0

    def _slideshow_share(
        self, repeats: npt.NDArray[np.bool_], change: npt.NDArray[np.floating], fps: float
    ) -> float:
        """Return the share of frames in slideshows; `change` is the difference of each frame to the last."""
        covered, last = 0, -1
        stretches = _stretches(repeats, self.min_slide_s * fps)
        for (start, end), (next_start, next_end) in pairwise(stretches):
            is_transition = next_start - end <= self.max_transition_s * fps
            if is_transition and change[end:next_start].sum() >= self.min_slide_difference:
                covered += next_end - max(start, last)
                last = next_end
        return covered / max(1, len(repeats))


def _stretches(repeats: npt.NDArray[np.bool_], min_frames: float) -> list[tuple[int, int]]:
    """Return start and end of each run of at least `min_frames` frames that repeat the frame before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.astype(np.int8), [0]])))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(start, end) for start, end in runs if end - start >= max(2.0, min_frames)]
