"""Times are exact, and shown as people read them."""

from fractions import Fraction

import pytest

from stages.media.timecode import clock, seconds_of, ticks_of


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 3)])
@pytest.mark.parametrize("ticks", [0, 1, 7, 10**12])
def test_ticks_come_back_from_exact_seconds(ticks: int, base: Fraction) -> None:
    assert ticks_of(ticks * base, base) == ticks
    assert seconds_of(ticks, base) == pytest.approx(ticks * base.numerator / base.denominator)


def test_a_clock_counts_minutes_and_hours() -> None:
    assert [clock(s) for s in (0, 3.24, 59.96, 60, 3725.5)] == [
        "0:00.0",
        "0:03.2",
        "1:00.0",
        "1:00.0",
        "1:02:05.5",
    ]
