"""What a clip's json says: where it comes from, and every measurement that was made of it."""

from typing import Any

from manifests import Row


class Facts(Row):
    """Measurements, each left out of the json where nobody made it."""

    parent: str | None = None
    start_pts: int | None = None
    end_pts: int | None = None
    time_base_num: int | None = None
    time_base_den: int | None = None
    licence: str | None = None
    split: str = "train"
    caption_by: str | None = None
    caption_status: str | None = None
    caption_revision: str | None = None
    caption_prompt_sha256: str | None = None
    enhanced_by: str | None = None
    light_mean: float | None = None
    light_spread: float | None = None
    highlight_luma: float | None = None
    light_swing: float | None = None
    dark_share: float | None = None
    overexposed_share: float | None = None
    flicker: float | None = None
    sharpness: float | None = None
    sharpness_min: float | None = None
    noise: float | None = None
    blockiness: float | None = None
    quantizer_step: float | None = None
    colourfulness: float | None = None
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
    true_fps: float | None = None
    overlay_share: float | None = None
    logo_share: float | None = None
    subtitle_share: float | None = None
    overlay_moved_share: float | None = None
    information: float | None = None
    picture_information: float | None = None
    change_information: float | None = None
    text_share: float | None = None
    overlay_text_share: float | None = None
    scene_text_share: float | None = None
    resting_text_share: float | None = None
    aesthetic_mean: float | None = None
    aesthetic_min: float | None = None
    technical_mean: float | None = None
    technical_min: float | None = None
    video_type: str | None = None
    video_type_score: float | None = None
    video_type_second: str | None = None


_OTHERWISE = {"parent": "video"}  # what a column is called in the json


def known_facts(row: Facts) -> dict[str, Any]:
    """The facts of a row that are known, by name."""
    told = {name: getattr(row, name) for name in Facts.names()}
    return {_OTHERWISE.get(name, name): value for name, value in told.items() if value is not None}
