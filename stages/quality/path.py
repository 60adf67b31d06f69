"""The way that a view takes through a clip: what shakes, and what is one sudden move."""

from typing import NamedTuple

import numpy as np

RATE = 24  # per s, at which the way is looked at
CALM_S = 0.13  # standard deviation of the bell that smooths the way: 1.5 Hz stays by half
WINDOW = RATE // 2  # samples of which the jitter is taken at a time
LEAP = RATE // 4  # samples of a sudden move


class Travel(NamedTuple):
    """Lengths in longer sides of the picture."""

    shake: float  # root mean square off the smoothed way, in the usual half second
    jitter: float  # the same of its speed, 1/s
    jump: float  # longest way in a quarter of a second
    usual: float  # median way in a quarter of a second

    def at_most(self, shake: float, jump: float) -> "Travel":
        """The path of a camera of which is known that it shakes and leaps no more than that."""
        share = min(1.0, shake / self.shake) if self.shake > 0 else 1.0
        return Travel(self.shake * share, self.jitter * share, min(self.jump, jump), self.usual)


def path_of(times_s: np.ndarray, right: np.ndarray, up: np.ndarray) -> Travel:
    """The path of a clip, from the slides of its frames; the first slide comes from before it.

    Frames that were doubled, and slides that are not known (NaN), leave no trace: the way is averaged over
    two samples.
    """
    slides = np.nan_to_num(np.stack([right, up], axis=1).astype(float))
    if len(slides) < 3 or times_s[-1] - times_s[0] < 3 / RATE:
        return Travel(0.0, 0.0, 0.0, 0.0)
    slides[0] = 0
    ways = np.cumsum(slides, axis=0)
    even = np.arange(times_s[0], times_s[-1] + 1e-9, 1 / RATE)
    way = np.stack([np.interp(even, times_s, axis) for axis in ways.T], axis=1)
    way = (way[1:] + way[:-1]) / 2
    off = way - _smooth(way)
    leap = min(LEAP, len(way) - 1)
    leaps = np.hypot(*(way[leap:] - way[:-leap]).T)
    return Travel(
        shake=_usual(off),
        jitter=_usual(np.diff(off, axis=0) * RATE),
        jump=float(leaps.max()),
        usual=float(np.median(leaps)),
    )


def _smooth(way: np.ndarray) -> np.ndarray:
    """The way under a bell; beyond its ends it is turned about its ends, so that a straight way stays."""
    reach = min(round(3 * CALM_S * RATE), len(way) - 1)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (CALM_S * RATE)) ** 2)
    bell /= bell.sum()
    before, after = 2 * way[0] - way[reach:0:-1], 2 * way[-1] - way[-2 : -reach - 2 : -1]
    longer = np.concatenate([before, way, after])
    return np.stack([np.convolve(axis, bell, "valid") for axis in longer.T], axis=1)


def _usual(values: np.ndarray) -> float:
    """Root mean square length in the median window."""
    squares = (values**2).sum(axis=1)
    parts = np.array_split(squares, max(1, len(squares) // WINDOW))
    return float(np.sqrt(np.median([part.mean() for part in parts])))
