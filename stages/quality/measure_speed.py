"""Measures whether a clip plays too fast: in real motion, a change continues the change before it."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, PositiveFloat, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals, read_thumbnails
from stages.quality.measures.repeated_frames import find_repeated


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int
    duration_s: float


class Speed(Row):
    speed_score: float = column(
        "second over first differences of thumbnail luma, squared: 0 for steady motion, 2 if each change is "
        "unrelated to the last, 3 if each frame is unrelated to the last",
        unit="1",
    )


class MeasureSpeed(Annotate[Clip, Speed]):
    """Measures whether a clip looks sped up: how quickly the motion of its thumbnail cells changes.

    The score is second differences over first differences of the cells, `step_s` apart. The distance that
    things move cancels out. What remains is for how long they move alike. A clip that plays faster than it
    was filmed, or has too few frames, shows less steady motion between two frames. Camera shake has the same
    effect.

    Frames that repeat the frame before are skipped, unless fewer than six others remain. Moments in which
    the whole frame gets lighter or darker by `max_light_change` or more are skipped as well, because one
    flash would outweigh all other changes. A clip of fewer than six frames is rejected.

    Attributes:
        step_s: Time in s between two frames that are compared.
        noise_variance: Variance of luma, in squared levels of 0 to 255, that noise and coding leave in a
            cell. It does not count as change. Higher values count less as change.
        max_repeat_change: Change of a pixel, in luma levels of 0 to 255, up to which it counts as equal, as
            in MeasureFrame. Higher values count more frames as repeated.
        max_light_change: Change of the whole frame's luma, in levels of 0 to 255, above which it is a flash.
            Higher values count fewer frames as flashes.
    """

    version = 3
    from_store = True

    step_s: PositiveFloat = 1 / 30
    noise_variance: NonNegativeFloat = 2.0
    max_repeat_change: NonNegativeFloat = 6.0
    max_light_change: NonNegativeFloat = 12.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Speed | Reject]:
        for row in rows:
            names = ("change_max", "change_mean")
            change = read_signals(row.signals, names, row.start_frame, row.end_frame)
            used = np.ones(len(change["change_max"]), bool)
            used[1:] = ~find_repeated(change["change_max"], change["change_mean"], self.max_repeat_change)
            if len(used) < 6:
                yield Reject(f"too short to measure speed: {len(used)} frames")
                continue
            if used.sum() < 6:
                used[:] = True
            cells = read_thumbnails(row.signals, row.start_frame, row.end_frame)[0][used].astype(np.float32)
            step = max(1, round(self.step_s * len(cells) / row.duration_s))
            yield Speed(speed_score=self._score(cells, min(step, len(cells) // 3)))

    def _score(self, cells: npt.NDArray[np.float32], step: int) -> float:
        """Return the score of cells [t h w], compared `step` frames apart."""
        change = cells[step:] - cells[:-step]
        second = ((change[step:] - change[:-step]) ** 2).mean((1, 2))
        energy = (change**2).mean((1, 2))
        first = (energy[step:] + energy[:-step]) / 2  # mean of the two changes that are compared
        is_flash = (energy > self.max_light_change**2) & (change.mean((1, 2)) ** 2 > energy / 2)
        used = ~(is_flash[step:] | is_flash[:-step])
        if not used.any():
            used[:] = True
        return float(second[used].mean() / (first[used].mean() + self.noise_variance))
