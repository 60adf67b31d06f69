"""Splits a video into shots as PySceneDetect would, from what the scan stored of every frame."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from manifests import Artifact, Row
from pipeline import Expand
from stages.media.signals import read_signals
from stages.shots import scene_detectors
from stages.shots.boundary import Boundary, known
from stages.shots.shot import Film, Shot, shots_between

SIGNALS = {
    "adaptive": ("delta_hue", "delta_sat", "delta_lum"),
    "content": ("delta_hue", "delta_sat", "delta_lum"),
    "hash": ("hash_distance",),
    "histogram": ("histogram_correlation",),
    "threshold": ("level_mean",),
}
THRESHOLDS = {"adaptive": 3.0, "content": 27.0, "hash": 0.35, "histogram": 0.2, "threshold": 12.0}


class Scanned(Row):
    signals: Artifact
    scanned_end_pts: int
    fps: float
    time_base_num: int
    time_base_den: int


class ReplaySceneDetect(Expand[Scanned, Shot]):
    """The cuts of PySceneDetect 0.7's detector of that name, without decoding the video again.

    For those who know its thresholds, or want to compare: `FindShots` finds more. "hash" and
    "histogram" need the scan's meters of these names, which are not among the default ones.
    "threshold" finds fades to black, and cuts them in the middle. Long shots are split as by
    `FindShots`; no frames are set apart.
    """

    from_store = True

    detector: str = "adaptive"  # content, hash, histogram, threshold
    threshold: float = 0.0  # as PySceneDetect's; 0: its default for the detector
    min_content: float = 15.0  # of adaptive: content change that a cut must reach, 0 … 255
    window: int = 2  # of adaptive: frames on each side that make the mean
    min_shot_frames: int = 15  # at the average frame rate, between two cuts
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # of the change of hue, saturation and value
    max_duration_s: float = 60.0  # 0 leaves long shots whole

    def __post_init__(self) -> None:
        known(self.detector, SIGNALS)

    def expand(self, row: Scanned) -> Iterator[Shot]:
        base = Fraction(row.time_base_num, row.time_base_den)
        stored = read_signals(row.signals, ("pts", *SIGNALS[self.detector]))
        numbers = np.rint((stored["pts"] - stored["pts"][0]) * (row.fps * float(base))).astype(int)
        values = np.stack([stored[name].astype(np.float64) for name in SIGNALS[self.detector]], 1)
        cuts = [Boundary(cut, cut, "cut", 1.0) for cut in self._cuts(values, numbers)]
        ticks = np.append(stored["pts"], row.scanned_end_pts)
        yield from shots_between(Film(len(numbers), base, lambda: ticks, {}), cuts, self.max_duration_s)

    def _cuts(self, values: np.ndarray, numbers: np.ndarray) -> list[int]:
        threshold, apart = self.threshold or THRESHOLDS[self.detector], self.min_shot_frames
        if self.detector == "threshold":
            return scene_detectors.fades(values[:, 0], numbers, apart, threshold=threshold)
        if self.detector == "histogram":
            return scene_detectors.spaced(values[:, 0] <= max(0.0, 1 - threshold), numbers, apart)
        if self.detector == "hash":
            return scene_detectors.spaced(values[:, 0] >= threshold, numbers, apart)
        score = scene_detectors.content_score(values, self.weights)
        if self.detector == "content":
            return scene_detectors.content(score, numbers, apart, threshold=threshold)
        found = {"threshold": threshold, "floor": self.min_content, "window": self.window}
        return scene_detectors.adaptive(score, numbers, apart, **found)
