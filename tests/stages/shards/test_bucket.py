"""Buckets hold what their names say; the rule on durations drops what no bucket accepts."""

from fractions import Fraction
from typing import Any

import pytest

from manifests import ClipmillError
from stages.shards.bucket import (
    bucket_size,
    exact_fps,
    frames_at_fps,
    length_name,
    min_seconds,
    reached_resolution,
    shape_name,
)
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards


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
    sides = [reached_resolution(n) for n in (359, 360, 719, 720, 1079, 2160)]
    assert sides == [0, 360, 480, 720, 720, 1080]
    assert [
        shape_name(1920, 1080), shape_name(1080, 1920), shape_name(500, 500), shape_name(200, 150),
    ] == [
        "1080p_16x9", "1080p_9x16", "480p_1x1", "small_4x3",
    ]  # fmt: skip


def test_a_bucket_holds_only_clips_near_its_aspect_ratio() -> None:
    aspects = [shape_name(w, 1000).split("_")[1] for w in (400, 500, 1500, 1600, 2000, 2060, 2100, 2390)]
    assert aspects == ["other", "9x16", "4x3", "16x9", "16x9", "16x9", "other", "other"]
    between = [shape_name(width, 1000) for width in range(563, 1778)]
    assert not any(name.endswith("other") for name in between), "two neighbors leave a gap"
    own = {"resolutions": (256, 512), "aspect_ratios": ("1:1", "21:9"), "tolerance": 0.02}
    assert [shape_name(w, h, **own) for w, h in ((600, 590), (600, 500), (700, 300), (2390, 1000))] == [
        "512p_1x1", "256p_other", "256p_21x9", "512p_other",
    ]  # fmt: skip


def test_exact_sizes_of_buckets_are_even() -> None:
    assert [bucket_size(side, ratio) for side, ratio in ((480, "16:9"), (720, "9:16"), (360, "1:1"))] == [
        (854, 480), (720, 1280), (360, 360),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aspect_ratios": ("16x9",)}, "'16x9' is not an aspect ratio such as 16:9"),
        ({"aspect_ratios": ()}, "aspect_ratios is empty"),
        ({"resolutions": ()}, "resolutions is empty"),
    ],
)
@pytest.mark.parametrize("stage", [CutClip, PackShards])
def test_invalid_buckets_are_an_error(stage: type[Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipmillError, match=message):
        stage(**settings)
