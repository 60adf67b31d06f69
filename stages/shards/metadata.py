"""The metadata in a sample's json member: the origin of the clip and its measurements."""

from typing import Any

from manifests import Row, column


class SampleMetadata(Row):
    """Optional columns of the json member. A column that no step adds is left out."""

    parent: str | None = None
    start_pts: int | None = None
    end_pts: int | None = None
    time_base_num: int | None = None
    time_base_den: int | None = None
    license: str | None = column("license of the clip, from a step of your own", default=None)
    split: str = "train"
    caption_by: str | None = None
    caption_status: str | None = None
    caption_revision: str | None = None
    caption_prompt_sha256: str | None = None
    enhanced_by: str | None = None
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


_JSON_NAMES = {"parent": "video"}  # columns with another name in the json


def known_metadata(row: SampleMetadata) -> dict[str, Any]:
    """The columns of `SampleMetadata` that have a value, by their name in the json."""
    values = {name: getattr(row, name) for name in SampleMetadata.names()}
    return {_JSON_NAMES.get(name, name): value for name, value in values.items() if value is not None}
