"""Measures defects of a clip's frames: black borders, frozen stretches, repeated frames and slideshows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, Row, Share, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals
from stages.quality.measures.repeated_frames import find_images, find_repeated, min_rest_s

SIDES = ("border_top", "border_bottom", "border_left", "border_right")


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Frames(Row):
    border_share: float = column("share of the image area covered by black borders at its sides", unit="0..1")
    frozen_share: float = column("share of the time in which one frame is shown unchanged", unit="0..1")
    repeated_share: float = column("share of the frames that repeat the frame before", unit="0..1")
    slideshow_share: float = column(
        "share of the time in still images and in the transitions between them", unit="0..1"
    )
    effective_fps: float = column("frames per second that do not repeat the frame before", unit="1/s")


class MeasureFrame(Annotate[Clip, Frames]):
    """Measures black borders, frozen stretches, repeated frames and slideshows, from the signals.

    **Borders.** A border is an area that is black in nine of ten stills, equally wide at two opposite
    sides. A dark sky is therefore no border. Bars that are not black do not count.

    **Repeats.** A frame repeats the frame before if no pixel of the scaled-down frame changed by more than
    `max_repeat_change`, or if the whole frame changed little between frames that changed much. An image is
    shown until the next frame that is no repeat; a pause in the file counts like repeated frames. An image
    is frozen if it is shown for `min_frozen_s`. Footage of a lower frame rate in a file of a higher rate is
    not frozen: an image must be shown twice as long as is usual in the clip, if this is up to half a second.

    **Slideshows.** A slideshow is two or more images, each shown for `min_slide_s` (and twice as long as is
    usual, as above), with transitions of at most `max_transition_s` between them. Images that slowly move or
    grow look like camera motion, so they do not count.

    A clip without a still is rejected.

    Attributes:
        max_repeat_change: Change of a pixel, in luma levels of 0 to 255, up to which it counts as equal.
            Higher values find more frozen images and slides.
        min_frozen_s: Time in s from which an image that does not change is frozen. Higher values find less
            that is frozen.
        min_slide_s: Time in s from which an image that does not change can be a slide. Higher values find
            fewer slideshows.
        max_transition_s: Length in s of a transition between two slides, at most. Higher values find more
            slideshows.
        min_slide_difference: Sum of the mean luma changes over a transition, in levels of 0 to 255, from
            which the next image is another one. Higher values find fewer slideshows.
        border_tolerance: Difference of two opposite borders, as a share of the image side, at most. Higher
            values find more borders.
    """

    version = 4
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
                row.signals, ("time_s", *SIDES, "change_max", "change_mean"), row.start_frame, row.end_frame
            )
            measured = np.isfinite(signals[SIDES[0]])
            if not measured.any():
                yield Reject("too short to measure borders: the clip has no still")
                continue
            top, bottom, left, right = (float(np.percentile(signals[side][measured], 10)) for side in SIDES)
            content = self._content_share(top, bottom) * self._content_share(left, right)
            repeats = find_repeated(signals["change_max"], signals["change_mean"], self.max_repeat_change)
            times_s = signals["time_s"]
            first, shown_s = find_images(times_s, times_s[0] + row.duration_s, repeats)
            frozen_s = shown_s[shown_s >= min_rest_s(shown_s, self.min_frozen_s)].sum()
            slideshow_s = self._slideshow_s(times_s[first], first, shown_s, signals["change_mean"])
            yield Frames(
                border_share=1 - content,
                frozen_share=float(min(1.0, frozen_s / row.duration_s)),
                repeated_share=float(repeats.mean()) if repeats.size else 0.0,
                slideshow_share=float(min(1.0, slideshow_s / row.duration_s)),
                effective_fps=len(first) / row.duration_s,
            )

    def _content_share(self, one: float, other: float) -> float:
        """Return the share of an image side that two opposite borders leave."""
        return max(0.0, 1 - one - other) if abs(one - other) <= self.border_tolerance else 1.0

    def _slideshow_s(
        self,
        starts_s: npt.NDArray[np.floating],
        first: npt.NDArray[np.intp],
        shown_s: npt.NDArray[np.floating],
        change: npt.NDArray[np.floating],
    ) -> float:
        """Return the time in slideshows, in s.

        Args:
            starts_s: Start of each image, in s.
            first: First frame of each image.
            shown_s: Time for which each image is shown, in s.
            change: Difference of each frame to the frame before.
        """
        total_s, last_s = 0.0, -np.inf
        slides = np.flatnonzero(shown_s >= min_rest_s(shown_s, self.min_slide_s))
        for slide, following in pairwise(slides.tolist()):
            is_transition = starts_s[following] - starts_s[slide + 1] <= self.max_transition_s
            difference = change[first[slide + 1] : first[following] + 1].sum()
            if is_transition and difference >= self.min_slide_difference:
                end_s = starts_s[following] + shown_s[following]
                total_s += end_s - max(starts_s[slide], last_s)
                last_s = end_s
        return float(total_s)
