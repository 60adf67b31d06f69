"""Converts between presentation timestamps (pts), which count ticks of a rational time base, and seconds."""

from fractions import Fraction


def ticks_to_seconds(ticks: int, time_base: Fraction) -> float:
    """Convert ticks to seconds: the float closest to the exact fraction."""
    return ticks * time_base.numerator / time_base.denominator  # a quotient of integers is rounded once


def seconds_to_ticks(seconds: float | Fraction, time_base: Fraction) -> int:
    """Convert seconds to the nearest tick; halves are rounded up."""
    return int((Fraction(seconds) / time_base + Fraction(1, 2)) // 1)


def format_time(seconds: float) -> str:
    """Format a time for display: 3.2 becomes "0:03.2", 3725 becomes "1:02:05.0"."""
    tenths = max(0, round(seconds * 10))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:" if hours else f"{minutes}:"
    return (f"{hours}:" if hours else "") + text + f"{rest // 10:02d}.{rest % 10}"
