"""The estimate of the remaining time, from recorded timings of steps: a pure function, without a clock."""

from dataclasses import replace

import pytest

from pipeline.history.formatting import format_duration, format_long_duration
from pipeline.progress.estimate import Estimate, StepSoFar, estimate_remaining

SOURCE = StepSoFar(name="list", rows_out=100, is_complete=True)
SCAN = StepSoFar(
    name="scan", inputs=("list",), rows_in=20, rows_out=20, processed=20, busy_s=40, parts_left=8
)
FIND = StepSoFar(name="find", inputs=("scan",), rows_in=20, rows_out=60, processed=20, busy_s=2, parts_left=8)
RULE = StepSoFar(name="rule", inputs=("find",), is_rule=True, rows_in=60, rows_out=30, parts_left=8)
CUT = StepSoFar(name="cut", inputs=("rule",), rows_in=10, rows_out=10, processed=10, busy_s=50, parts_left=9)


def test_each_step_costs_its_rate_times_the_rows_that_the_steps_before_it_pass() -> None:
    left = estimate_remaining([SOURCE, SCAN, FIND, RULE, CUT], workers=1)
    assert left.not_timed == ()
    # 80 videos of 2 s, 80 of 0.1 s; of 300 shots half are dropped, 140 more clips of 5 s
    assert left.seconds == pytest.approx(80 * 2 + 80 * 0.1 + 140 * 5)
    assert left.text() == "about 14:28 left"


def test_workers_share_the_work_but_no_more_than_there_are_parts() -> None:
    steps = [SOURCE, SCAN, FIND, RULE, CUT]
    assert estimate_remaining(steps, workers=4).seconds == pytest.approx((160 + 8 + 700) / 4)
    last = replace(CUT, parts_left=1)  # all clips are in one part: one worker makes them
    assert estimate_remaining([SOURCE, SCAN, FIND, RULE, last], workers=4).seconds == pytest.approx(700)


def test_there_is_no_estimate_before_a_step_is_timed_and_untimed_steps_are_named() -> None:
    unlisted = StepSoFar(name="list")
    begun = replace(SCAN, rows_in=0, rows_out=0, processed=0, busy_s=7)
    first = estimate_remaining([unlisted, begun], workers=1)
    assert (first, first.text()) == (Estimate(None, ("list", "scan")), "")
    assert estimate_remaining([SOURCE, begun], workers=1).text() == ""
    find = replace(FIND, rows_in=0, rows_out=0, processed=0, busy_s=0)
    cut = replace(CUT, rows_in=0, rows_out=0, processed=0, busy_s=0)
    rule = replace(RULE, rows_in=0, rows_out=0)
    half = estimate_remaining([SOURCE, SCAN, find, rule, cut], workers=1)
    assert (half.seconds, half.not_timed) == (160, ("find", "cut"))
    assert half.text() == "more than 2:40 left (2 steps not timed yet)"
    one = estimate_remaining([SOURCE, SCAN, find], workers=1)
    assert one.text() == "more than 2:40 left (1 step not timed yet)"


def test_earlier_runs_give_the_costs_and_shares_that_this_run_does_not_know_yet() -> None:
    find = replace(FIND, rows_in=0, rows_out=0, processed=0, busy_s=0)
    rule = replace(RULE, rows_in=0, rows_out=0)
    cut = replace(CUT, rows_in=0, rows_out=0, processed=0, busy_s=0)
    steps = [SOURCE, SCAN, find, rule, cut]
    left = estimate_remaining(steps, 1, {"scan": 99, "find": 0.2, "cut": 4}, {"find": 2, "rule": 0.25})
    assert left.not_timed == ()
    assert left.seconds == pytest.approx(80 * 2 + 100 * 0.2 + 100 * 2 * 0.25 * 4)  # this run's rate of scan


def test_rows_of_running_parts_earlier_parts_and_copied_rows_count() -> None:
    running = replace(SCAN, rows_running=5, processed=25, busy_s=50)
    assert estimate_remaining([SOURCE, running], workers=1).seconds == pytest.approx(75 * 2)
    resumed = replace(SCAN, share_before=0.5)  # half of the parts existed before this run
    assert estimate_remaining([SOURCE, resumed], workers=1).seconds == pytest.approx(30 * 2)
    copied = replace(SCAN, processed=5)  # 15 of 20 rows were copied from an earlier table
    assert estimate_remaining([SOURCE, copied], workers=1).seconds == pytest.approx(80 / 4 * 8)
    done = replace(SCAN, is_complete=True, rows_in=100, rows_out=100)
    assert estimate_remaining([SOURCE, done], workers=1) == Estimate(0.0, ())


def test_a_training_is_estimated_from_its_steps_and_runs_alone() -> None:
    train = StepSoFar(name="train", inputs=("cut",), is_launch=True, busy_s=30, share_done=0.25)
    done = replace(SCAN, is_complete=True)
    assert estimate_remaining([SOURCE, done, train], workers=4).seconds == pytest.approx(90)
    early = replace(train, share_done=0.001)
    assert estimate_remaining([SOURCE, done, early], workers=4).not_timed == ("train",)
    waits = replace(train, busy_s=0, share_done=0)
    assert estimate_remaining([SOURCE, SCAN, waits], 4, {"train": 120}).seconds == pytest.approx(40 + 120)


@pytest.mark.parametrize(("seconds", "text"), [(41.9, "0:41"), (3599, "59:59"), (3723, "1:02:03")])
def test_a_duration_is_minutes_and_seconds_and_hours_where_needed(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(41.4, "41 s"), (219.6, "3 min 40 s"), (7512, "2 h 5 min")])
def test_a_long_duration_is_in_words(seconds: float, text: str) -> None:
    assert format_long_duration(seconds) == text
