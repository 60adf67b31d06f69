"""The minimum duration of the recipes' rule is the one from which a bucket accepts a clip."""

from fractions import Fraction

import pytest

from stages.shards.bucket import exact_fps, frames_at_fps, length_name, min_seconds, shape_name, short_side_px


@pytest.mark.parametrize("fps", [8.0, 12.0, 24.0, 24000 / 1001, 29.97, 60.0])
@pytest.mark.parametrize("frames", [1, 2, 5, 33, 257])
def test_the_rule_for_shots_accepts_what_a_bucket_accepts(fps: float, frames: int) -> None:
    limit_s = min_seconds(frames, fps)
    step = 1 / exact_fps(fps)
    for duration_s in (
        (frames - 1) * step,
        (frames - 1) * step + Fraction(1, 1000),
        frames * step,
        2 * frames * step,
    ):
        assert (float(duration_s) > limit_s) == (frames_at_fps(duration_s, fps) >= frames)


def test_ranges_of_frames_begin_at_the_given_counts() -> None:
    bucket_frames = (17, 33, 65)
    assert [length_name(n, bucket_frames) for n in (16, 17, 32, 33, 64, 65, 999)] == [
        "", "17-32f", "17-32f", "33-64f", "33-64f", "from65f", "from65f",
    ]  # fmt: skip


def test_short_sides_and_aspect_ratios() -> None:
    assert [short_side_px(n, 4000) for n in (359, 360, 719, 720, 1079, 2160)] == [0, 360, 480, 720, 720, 1080]
    assert [
        shape_name(1920, 1080), shape_name(1080, 1920), shape_name(500, 500), shape_name(200, 150),
    ] == [
        "1080p_16x9", "1080p_9x16", "480p_1x1", "small_4x3",
    ]  # fmt: skip
