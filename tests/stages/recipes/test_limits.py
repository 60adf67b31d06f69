"""Limits are off by default; each one that is set is a rule on the column of its name."""

from dataclasses import fields
from typing import Any

import pytest

from pipeline import Keep
from pipeline.errors import RecipeError
from stages.recipes.clip_format import ClipFormat
from stages.recipes.curate import Curation, curate
from stages.recipes.filters import Filters
from stages.recipes.limits import Limits
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards

LIMITS = [field.name for field in fields(Limits) if field.name.startswith(("min_", "max_"))]


def test_every_limit_is_one_rule_on_its_column() -> None:
    usual = curate("films").nodes
    everything = curate("films", filters=Filters(**dict.fromkeys(LIMITS, 0.5))).nodes
    rules = {name: node.work for name, node in everything.items() if name not in usual}
    added = {name for name in rules if name.startswith("measure")}
    assert added == {"measure_speed", "measure_text", "measure_faces"}
    found = {work.where for work in rules.values() if isinstance(work, Keep)}
    expected = {
        f"{name.partition('_')[2]} {'>=' if name.startswith('min_') else '<='} 0.5" for name in LIMITS
    }
    assert found == expected
    assert len(found) == len(LIMITS) > 35


def test_only_still_scenes() -> None:
    nodes = curate("films", filters=Filters(min_still_share=0.9)).nodes
    assert nodes["still_share_too_low"].work == Keep("still_share >= 0.9", "still_share too low")
    assert "no_motion" not in nodes
    assert "no_motion" in curate("films").nodes


def test_only_a_static_camera() -> None:
    nodes = curate("films", filters=Filters(cameras=("static", "pan left"))).nodes
    assert nodes["other_camera_motion"].work == Keep(
        "camera in ('static', 'pan left')", "other camera motion"
    )
    assert isinstance(
        curate("films", filters=Filters(cameras=("static",))).nodes["other_camera_motion"].work, Keep
    )
    with pytest.raises(RecipeError, match="no camera motion 'statik'") as error:
        curate("films", filters=Filters(cameras=("statik",)))
    assert error.value.remedy == "did you mean 'static'?"


def test_the_clip_format_reaches_the_stages() -> None:
    values: dict[str, Any] = {
        "clip_height": 480, "clip_width": 640, "clip_short_side": 360, "clip_fps": 24.0,
        "clip_constant_fps": False, "clip_codec": "hevc", "clip_preset": "fast", "clip_audio": "aac",
        "clip_audio_bit_rate": 64_000, "clip_to_bucket": "crop", "resolutions": (256,),
        "aspect_ratios": ("1:1",), "aspect_tolerance": 0.5, "bucket_frames": (33, 17, 33), "preview": "none",
    }  # fmt: skip
    assert set(values) == {field.name for field in fields(ClipFormat)}
    nodes = curate("films", curation=Curation(**values)).nodes
    buckets = {"resolutions": (256,), "aspect_ratios": ("1:1",), "aspect_tolerance": 0.5}
    assert nodes["cut_clip"].work == CutClip(
        height_px=480, width_px=640, max_short_side_px=360, fps=24.0, constant_frame_rate=False,
        encoder="x265", preset="fast", audio="aac", audio_bits_per_s=64_000, to_bucket="crop", **buckets,
    )  # fmt: skip
    assert nodes["pack_shards"].work == PackShards(bucket_frames=(1, 17, 33), fps=24.0, **buckets)
    assert "preview_clip" not in nodes
    assert "preview_clip" in curate("films").nodes
