"""Tests of conversions between ticks and seconds, and of the display of times."""

from fractions import Fraction

import pytest

from stages.media.timecode import format_time, seconds_to_ticks, ticks_to_seconds


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 3)])
@pytest.mark.parametrize("ticks", [0, 1, 7, 10**12])
def test_ticks_survive_a_round_trip_through_seconds(ticks: int, base: Fraction) -> None:
    assert seconds_to_ticks(ticks * base, base) == ticks
    assert ticks_to_seconds(ticks, base) == pytest.approx(ticks * base.numerator / base.denominator)


def test_format_time_shows_minutes_and_hours() -> None:
    assert [format_time(s) for s in (0, 3.24, 59.96, 60, 3725.5)] == [
        "0:00.0",
        "0:03.2",
        "1:00.0",
        "1:00.0",
        "1:02:05.5",
    ]
