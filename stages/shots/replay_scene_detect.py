"""Splits a video into shots as PySceneDetect does, from the stored signals of its frames."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from manifests import Artifact, NonNegativeFloat, NonNegativeInt, PositiveInt, Row
from pipeline import Expand
from stages.media.signals import read_signals
from stages.shots.boundary import Boundary, check_detector
from stages.shots.detectors import scene_detectors
from stages.shots.shot import FrameTimes, PictureSizes, Shot, split_video

SIGNALS = {
    "adaptive": ("delta_hue", "delta_sat", "delta_lum"),
    "content": ("delta_hue", "delta_sat", "delta_lum"),
    "hash": ("hash_distance",),
    "histogram": ("histogram_correlation",),
    "threshold": ("average_rgb",),
}
THRESHOLDS = {"adaptive": 3.0, "content": 27.0, "hash": 0.35, "histogram": 0.2, "threshold": 12.0}


class ScannedVideo(Row):
    signals: Artifact
    scanned_end_pts: int
    fps: float
    time_base_num: int
    time_base_den: int
    video_width_px: int
    video_height_px: int
    clock_jumps: tuple[int, ...] = ()
    clock_jump_end_pts: tuple[int, ...] = ()
    format_changes: tuple[int, ...] = ()
    format_widths_px: tuple[int, ...] = ()
    format_heights_px: tuple[int, ...] = ()


class ReplaySceneDetect(Expand[ScannedVideo, Shot]):
    """Finds the cuts of a detector of PySceneDetect 0.7, without decoding the video again.

    Use it if you know its thresholds or want to compare; `FindShots` finds more boundaries. "hash" and
    "histogram" need the scan's meters of these names, which are not among the default meters. "threshold"
    finds fades to black and cuts them in the middle. Long shots are split as by `FindShots`; there are no
    rows for transitions. The settings are named as the parameters of PySceneDetect.

    Attributes:
        detector: adaptive, content, hash, histogram or threshold.
        threshold: Threshold of the detector, in PySceneDetect's unit. 0: PySceneDetect's default. Higher
            values find fewer cuts ("histogram", "content", "adaptive", "hash").
        min_content_val: Minimum content score of a cut of the adaptive detector, 0 to 255. Higher values find
            fewer cuts.
        window_width: Frames on each side that the adaptive detector averages. Higher values average over a
            longer time.
        min_scene_len: Minimum number of frames between two cuts, at the average frame rate. Higher values
            find fewer cuts.
        weights: Weights of the changes of hue, saturation and value in the content score.
        max_duration_s: Maximum duration of a clip in seconds. Longer shots are split into the fewest pieces
            of equal length, and a frame that is shown for longer ends its clip after this time; 0 does not
            split. Higher values make fewer and longer clips.
    """

    version = 3
    from_store = True

    detector: str = "adaptive"
    threshold: NonNegativeFloat = 0.0
    min_content_val: NonNegativeFloat = 15.0
    window_width: PositiveInt = 2
    min_scene_len: NonNegativeInt = 15
    weights: tuple[NonNegativeFloat, ...] = (1.0, 1.0, 1.0)
    max_duration_s: NonNegativeFloat = 60.0

    def __post_init__(self) -> None:
        check_detector(self.detector, SIGNALS)

    def expand(self, row: ScannedVideo) -> Iterator[Shot]:
        time_base = Fraction(row.time_base_num, row.time_base_den)
        signals = read_signals(row.signals, ("pts", *SIGNALS[self.detector]))
        numbers = np.rint((signals["pts"] - signals["pts"][0]) * (row.fps * float(time_base))).astype(int)
        values = np.stack([signals[name].astype(np.float64) for name in SIGNALS[self.detector]], 1)
        found = sorted({*self._cuts(values, numbers), *row.clock_jumps, *row.format_changes})
        cuts = [Boundary(cut, cut, "cut", 1.0) for cut in found]
        end_pts = dict(zip(row.clock_jumps, row.clock_jump_end_pts, strict=True))
        pts = np.append(signals["pts"], row.scanned_end_pts)
        size = row.video_width_px, row.video_height_px
        sizes = PictureSizes(size, row.format_changes, row.format_widths_px, row.format_heights_px)
        times = FrameTimes(len(numbers), time_base, lambda: pts, {}, end_pts)
        yield from split_video(times, cuts, self.max_duration_s, sizes)

    def _cuts(self, values: np.ndarray, numbers: np.ndarray) -> list[int]:
        """Return the first frame of every new shot, from the detector's signals [n signals]."""
        threshold, min_len = self.threshold or THRESHOLDS[self.detector], self.min_scene_len
        if self.detector == "threshold":
            return scene_detectors.detect_threshold(values[:, 0], numbers, min_len, threshold=threshold)
        if self.detector == "histogram":
            return scene_detectors.detect_where(values[:, 0] <= max(0.0, 1 - threshold), numbers, min_len)
        if self.detector == "hash":
            return scene_detectors.detect_where(values[:, 0] >= threshold, numbers, min_len)
        score = scene_detectors.content_score(values, self.weights)
        if self.detector == "content":
            return scene_detectors.detect_content(score, numbers, min_len, threshold=threshold)
        return scene_detectors.detect_adaptive(
            score,
            numbers,
            min_len,
            threshold=threshold,
            min_content_val=self.min_content_val,
            window_width=self.window_width,
        )
