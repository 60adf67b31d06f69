"""Exact times: a presentation timestamp (pts) counts ticks of a rational time base; seconds are for show."""

from fractions import Fraction


def seconds_of(ticks: int, time_base: Fraction) -> float:
    """Ticks as seconds: the nearest float of the exact fraction."""
    return ticks * time_base.numerator / time_base.denominator  # of whole numbers: rounded once


def ticks_of(seconds: float | Fraction, time_base: Fraction) -> int:
    """The tick nearest to a time; halves go up."""
    return int((Fraction(seconds) / time_base + Fraction(1, 2)) // 1)


def clock(seconds: float) -> str:
    """A time as people read it: 3.2 becomes "0:03.2", 3725 becomes "1:02:05.0"."""
    tenths = max(0, round(seconds * 10))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}:" if hours else f"{minutes}:"
    return (f"{hours}:" if hours else "") + shown + f"{rest // 10:02d}.{rest % 10}"
