"""Clips are split into windows of 1 + k * stride frames at exact times; the remainder is named as such."""

import pytest

from pipeline import Reject
from stages.latents.split_windows import ClipLength, SplitWindows, frames_at_fps


def split(frames: int, duration_s: float, **settings: object) -> list[tuple[int, int, str, int]]:
    stage = SplitWindows(**{"fps": 12.0, "window_frames": 17, "stride": 4, **settings})
    rows = stage.expand(ClipLength(clip_frames=frames, clip_duration_s=duration_s))
    return [(w.window_first_frame, w.window_frames, w.window_kind, w.window_unused_frames) for w in rows]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (17 / 12, [(0, 17, "window", 0)]),
        (34 / 12, [(0, 17, "window", 0), (17, 17, "window", 0)]),
        (45 / 12, [(0, 17, "window", 0), (17, 17, "window", 0), (34, 9, "remainder", 2)]),
        (18 / 12, [(0, 17, "window", 0), (17, 1, "remainder", 0)]),
        (7 / 12, [(0, 5, "remainder", 2)]),
    ],
)
def test_windows_follow_each_other(seconds: float, expected: list[tuple[int, int, str, int]]) -> None:
    assert split(2 * round(12 * seconds), seconds) == expected
    counts = [count for _, count, _, _ in expected]
    assert all((count - 1) % 4 == 0 for count in counts)
    assert sum(counts) + expected[-1][3] == round(12 * seconds)


def test_a_clip_of_one_frame_is_an_image() -> None:
    assert split(1, 5.0) == [(0, 1, "image", 0)]
    assert split(2, 1 / 12) == [(0, 1, "remainder", 0)]


@pytest.mark.parametrize("fps", [12.0, 24.0, 24000 / 1001, 30000 / 1001, 29.97])
def test_durations_have_no_rounding_errors(fps: float) -> None:
    """A clip of n frame times has n frames: neither does float lose one, nor does it count one more."""
    from fractions import Fraction

    exact = Fraction(fps).limit_denominator(1001)
    assert [frames_at_fps(float(n / exact), fps) for n in range(1, 3000)] == list(range(1, 3000))


def test_bad_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 \+ k \* 4"):
        SplitWindows(window_frames=16)
    for frames, seconds in ((0, 1.0), (3, 0.0), (3, float("nan"))):
        with pytest.raises(Reject, match="the clip has"):
            split(frames, seconds)
