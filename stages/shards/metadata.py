"""The metadata in a sample's json member: the origin of the clip and its measurements."""

import json
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from manifests import Row, column
from stages.shards.sample import clean_caption


class SampleMetadata(Row):
    """Optional columns of the json member. A column without a value in any clip is left out."""

    parent: str | None = None
    start_pts: int | None = None
    end_pts: int | None = None
    time_base_num: int | None = None
    time_base_den: int | None = None
    license: str | None = column(
        "license of the clip, from a list of the footage or a step of your own", default=None
    )
    list_values: str | None = None
    split: str = "train"
    clip_bit_depth: int | None = None
    clip_color_transfer: str | None = None
    caption_by: str | None = None
    caption_status: str | None = None
    caption_revision: str | None = None
    caption_prompt_sha256: str | None = None
    enhanced_by: str | None = None
    caption_similarity: float | None = None
    caption_similarity_min: float | None = None
    caption_parts: int | None = None
    answers: str | None = None
    event_starts_s: tuple[float, ...] | None = None
    event_ends_s: tuple[float, ...] | None = None
    event_captions: tuple[str, ...] | None = None
    light_mean: float | None = None
    light_spread: float | None = None
    highlight_luma: float | None = None
    light_range: float | None = None
    underexposed_share: float | None = None
    overexposed_share: float | None = None
    flicker: float | None = None
    sharpness: float | None = None
    sharpness_min: float | None = None
    noise: float | None = None
    blockiness: float | None = None
    quantizer_step: float | None = None
    colorfulness: float | None = None
    motion_mean: float | None = None
    motion_p95: float | None = None
    still_share: float | None = None
    object_motion: float | None = None
    camera: str | None = None
    camera_pan: float | None = None
    camera_tilt: float | None = None
    camera_zoom: float | None = None
    camera_roll: float | None = None
    camera_shake: float | None = None
    camera_jitter: float | None = None
    camera_drift: float | None = None
    camera_jump: float | None = None
    speed_score: float | None = None
    border_share: float | None = None
    frozen_share: float | None = None
    repeated_share: float | None = None
    slideshow_share: float | None = None
    effective_fps: float | None = None
    overlay_share: float | None = None
    logo_share: float | None = None
    subtitle_share: float | None = None
    moving_area_share: float | None = None
    information: float | None = None
    frame_information: float | None = None
    change_information: float | None = None
    text_share: float | None = None
    overlay_text_share: float | None = None
    scene_text_share: float | None = None
    ambiguous_text_share: float | None = None
    aesthetic_mean: float | None = None
    aesthetic_min: float | None = None
    technical_mean: float | None = None
    technical_min: float | None = None
    video_type: str | None = None
    video_type_score: float | None = None
    video_type_second: str | None = None
    border_kind: str | None = None
    crop_x_px: int | None = None
    crop_y_px: int | None = None
    crop_width_px: int | None = None
    crop_height_px: int | None = None
    silence_share: float | None = None
    speech_share: float | None = None
    loudness_lufs: float | None = None
    audio_peak_dbfs: float | None = None
    audio_clipping_share: float | None = None


_JSON_NAMES = {  # columns with another name in the json
    "parent": "video",
    "clip_bit_depth": "bit_depth",
    "clip_color_transfer": "color_transfer",
}
# The names of values in the json that no stage adds as a column. A column of a list cannot have them.
JSON_KEYS = frozenset(
    {*_JSON_NAMES.values(), "answers", "audio", "events", "frames", "height_px", "width_px"}
)
_LISTED = "list_values"  # columns of a list of the footage, as JSON
_ALWAYS = frozenset({"license", "split"})  # columns that are in the json whether or not a clip has a value
_NESTED = frozenset({"answers", "event_starts_s", "event_ends_s", "event_captions"})
_NO_VALUE: dict[type, Any] = {str: "", float: float("nan"), int: -1, bool: False}


def columns_with_values(rows: Iterable[SampleMetadata]) -> set[str]:
    """The columns of `SampleMetadata` that have a value in at least one row."""
    return {name for row in rows for name in _column_types() if getattr(row, name) is not None}


def typed_metadata(row: SampleMetadata, columns: Iterable[str]) -> dict[str, Any]:
    """The columns, by their name in the json, each with a value of its type.

    Loaders infer the type of a key from the first samples, so a missing value has the type of its column: ""
    for text, NaN for a float and -1 for an integer.

    Args:
        columns: the columns that some clip of the data set has a value for. `license` and `split` are added.
    """
    types, known = _column_types(), (_ALWAYS | set(columns)) - {_LISTED}
    typed = {
        _JSON_NAMES.get(name, name): types[name](
            _NO_VALUE[types[name]] if getattr(row, name) is None else getattr(row, name)
        )
        for name in sorted(known - _NESTED)
    }
    if "answers" in known:
        typed["answers"] = json.loads(row.answers or "{}")
    if "event_captions" in known:
        typed["events"] = _events(row)
    listed: dict[str, Any] = json.loads(row.list_values or "{}")
    return listed | typed


def _events(row: SampleMetadata) -> list[dict[str, Any]]:
    """The events of a clip in order; their times count from the start of the clip.

    A file of variable frame rate may end before the span of its clip does; its last event ends with the file.
    """
    last_s = getattr(row, "clip_duration_s", math.inf)
    columns = (row.event_starts_s or (), row.event_ends_s or (), row.event_captions or ())
    return [
        {"start_s": float(start_s), "end_s": float(min(end_s, last_s)), "text": clean_caption(text)}
        for start_s, end_s, text in zip(*columns, strict=True)
    ]


@lru_cache(maxsize=1)
def _column_types() -> dict[str, type]:
    hints = get_type_hints(SampleMetadata)
    return {name: next(iter(get_args(hints[name])), hints[name]) for name in SampleMetadata.names()}
