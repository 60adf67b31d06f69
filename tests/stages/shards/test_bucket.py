"""Buckets: the length that a rule asks for is the one that a bucket takes."""

from fractions import Fraction

import pytest

from stages.shards.bucket import exact, frames_seen, least_seconds, length, shape, short_side_px


@pytest.mark.parametrize("fps", [8.0, 12.0, 24.0, 24000 / 1001, 29.97, 60.0])
@pytest.mark.parametrize("frames", [1, 2, 5, 33, 257])
def test_the_rule_at_the_shots_is_the_rule_of_the_bucket(fps: float, frames: int) -> None:
    least_s = least_seconds(frames, fps)
    step = 1 / exact(fps)
    for long in (
        (frames - 1) * step,
        (frames - 1) * step + Fraction(1, 1000),
        frames * step,
        2 * frames * step,
    ):
        assert (float(long) > least_s) == (frames_seen(long, fps) >= frames)


def test_lengths_begin_where_they_say() -> None:
    lengths = (17, 33, 65)
    assert [length(n, lengths) for n in (16, 17, 32, 33, 64, 65, 999)] == [
        "", "17-32f", "17-32f", "33-64f", "33-64f", "from65f", "from65f",
    ]  # fmt: skip


def test_sides_and_aspects() -> None:
    assert [short_side_px(n, 4000) for n in (359, 360, 719, 720, 1079, 2160)] == [0, 360, 480, 720, 720, 1080]
    assert [shape(1920, 1080), shape(1080, 1920), shape(500, 500), shape(200, 150)] == [
        "1080p_16x9", "1080p_9x16", "480p_1x1", "small_4x3",
    ]  # fmt: skip
