"""Limits on measured columns that are off by default: one knob for each, and the rules that they make."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeAlias

from manifests import NonNegativeFloat, NonNegativeInt, Range, Share
from manifests.messages import closest_name
from pipeline import Keep, Rows
from pipeline.errors import RecipeError
from stages.guardrails.measure_faces import MeasureFaces
from stages.quality.measure_motion import CAMERA_LABELS
from stages.quality.measure_speed import MeasureSpeed
from stages.quality.measure_text import MeasureText

Speed: TypeAlias = Annotated[float, Range(-1000, 1000)]
_STAGES = {
    "speed_score": MeasureSpeed,
    "text_share": MeasureText,
    "overlay_text_share": MeasureText,
    "face_share": MeasureFaces,
    "face_count": MeasureFaces,
    "face_area_share": MeasureFaces,
}


@dataclass(frozen=True)
class Limits:
    """Limits that are off by default. A recipe's argument of this type stands for all of these knobs.

    A clip beyond a limit is dropped. Without a value (`none`), a knob adds no rule.

    Attributes:
        min_width_px: Minimum width of a clip in px, before it is cut. Higher drops more.
        min_height_px: Minimum height of a clip in px, before it is cut. Higher drops more.
        min_fps: Minimum average frame rate of the video in frames per second. Higher drops more.
        min_effective_fps: Minimum frames per second that do not repeat the frame before. Higher drops more.
        max_repeated_share: Maximum share of frames that repeat the frame before, 0 to 1. Higher keeps more.
        min_light_mean: Minimum mean luma, 0 (black) to 1 (white). Higher drops more.
        max_light_mean: Maximum mean luma, 0 (black) to 1 (white). Higher keeps more.
        min_light_spread: Minimum contrast: standard deviation of luma in a frame, 0 to 1. Higher drops
            more.
        max_light_range: Maximum change of a frame's mean luma over the clip, 0 to 1. Higher keeps more.
        max_underexposed_share: Maximum share of pixels clipped to black, 0 to 1. Higher keeps more.
        min_colorfulness: Minimum colorfulness, 0 or more, no unit. Below 5, a clip is nearly gray. Higher
            drops more.
        max_colorfulness: Maximum colorfulness, 0 or more, no unit. From 82 on, colors are vivid. Higher
            keeps more.
        min_sharpness_min: Minimum sharpness of the most blurred tenth of the stills, in 1/px. Higher drops
            more.
        max_blockiness: Maximum luma step at the codec's block borders, in levels of 0 to 255. Higher keeps
            more.
        min_motion_mean: Minimum mean optical flow, in longer sides per s. Higher drops more.
        max_motion_mean: Maximum mean optical flow, in longer sides per s. Higher keeps more.
        max_motion_p95: Maximum optical flow of the fastest twentieth of the frames, in longer sides per s.
            Higher keeps more.
        min_still_share: Minimum share of the time without motion, 0 to 1. It replaces max_still_share. Higher
            drops more: 0.9 keeps only still scenes.
        min_object_motion: Minimum flow that camera motion does not explain, in longer sides per s. Higher
            drops more.
        max_object_motion: Maximum flow that camera motion does not explain, in longer sides per s. Higher
            keeps more.
        cameras: Camera motions that are kept, such as static or static,pan left,pan right. Empty keeps all.
            More keep more clips.
        min_camera_pan: Minimum median speed of the camera to the right, in longer sides per s; below 0,
            left. Higher drops more.
        max_camera_pan: Maximum median speed of the camera to the right, in longer sides per s; below 0,
            left. Higher keeps more.
        min_camera_tilt: Minimum median speed of the camera upwards, in longer sides per s; below 0, down.
            Higher drops more.
        max_camera_tilt: Maximum median speed of the camera upwards, in longer sides per s; below 0, down.
            Higher keeps more.
        min_camera_zoom: Minimum median speed of the camera into the scene, as growth per s; below 0, out.
            Higher drops more.
        max_camera_zoom: Maximum median speed of the camera into the scene, as growth per s; below 0, out.
            Higher keeps more.
        min_camera_roll: Minimum median speed of the camera clockwise, in degrees per s; below 0,
            counterclockwise. Higher drops more.
        max_camera_roll: Maximum median speed of the camera clockwise, in degrees per s; below 0,
            counterclockwise. Higher keeps more.
        max_camera_shake: Maximum distance of the view to its smoothed path, in longer sides. Higher keeps
            more.
        max_camera_drift: Maximum deviation of the camera's speed from its median, in longer sides per s.
            Higher keeps more.
        max_camera_jump: Maximum distance that the view moves in a quarter of a second, in longer sides.
            Higher keeps more.
        max_speed_score: Maximum score of fast playback, 0 (steady motion) to 3, no unit. From 2.1 on, half
            of the clips played at four times their speed are found. Higher keeps more.
        max_logo_share: Maximum share of the frame under logos and watermarks, 0 to 1. Higher keeps more.
        max_subtitle_share: Maximum share of the frame under subtitles, 0 to 1. Higher keeps more.
        max_text_share: Maximum share of the frame under text of any kind, 0 to 1. Higher keeps more.
        max_overlay_text_share: Maximum share of the frame under text that is not part of the scene, 0 to 1.
            Higher keeps more.
        max_face_share: Maximum share of the stills that show a face, 0 to 1. Higher keeps more.
        max_face_count: Maximum number of faces in one still. Higher keeps more.
        max_face_area_share: Maximum share of a still under faces, 0 to 1. Higher keeps more.
        min_moving_area_share: Minimum share of the frame with structure that moves, 0 to 1. Higher drops
            more.
        min_frame_information: Minimum information of single thumbnails, in bits per cell. Higher drops
            more.
        min_change_information: Minimum information of the changes between thumbnails, in bits per cell.
            Higher drops more.
        max_change_information: Maximum information of the changes between thumbnails, in bits per cell.
            Higher keeps more.
    """

    min_width_px: NonNegativeInt | None = None
    min_height_px: NonNegativeInt | None = None
    min_fps: NonNegativeFloat | None = None
    min_effective_fps: NonNegativeFloat | None = None
    max_repeated_share: Share | None = None
    min_light_mean: Share | None = None
    max_light_mean: Share | None = None
    min_light_spread: Share | None = None
    max_light_range: Share | None = None
    max_underexposed_share: Share | None = None
    min_colorfulness: NonNegativeFloat | None = None
    max_colorfulness: NonNegativeFloat | None = None
    min_sharpness_min: NonNegativeFloat | None = None
    max_blockiness: NonNegativeFloat | None = None
    min_motion_mean: NonNegativeFloat | None = None
    max_motion_mean: NonNegativeFloat | None = None
    max_motion_p95: NonNegativeFloat | None = None
    min_still_share: Share | None = None
    min_object_motion: NonNegativeFloat | None = None
    max_object_motion: NonNegativeFloat | None = None
    cameras: tuple[str, ...] = ()
    min_camera_pan: Speed | None = None
    max_camera_pan: Speed | None = None
    min_camera_tilt: Speed | None = None
    max_camera_tilt: Speed | None = None
    min_camera_zoom: Speed | None = None
    max_camera_zoom: Speed | None = None
    min_camera_roll: Speed | None = None
    max_camera_roll: Speed | None = None
    max_camera_shake: NonNegativeFloat | None = None
    max_camera_drift: NonNegativeFloat | None = None
    max_camera_jump: NonNegativeFloat | None = None
    max_speed_score: NonNegativeFloat | None = None
    max_logo_share: Share | None = None
    max_subtitle_share: Share | None = None
    max_text_share: Share | None = None
    max_overlay_text_share: Share | None = None
    max_face_share: Share | None = None
    max_face_count: NonNegativeInt | None = None
    max_face_area_share: Share | None = None
    min_moving_area_share: Share | None = None
    min_frame_information: NonNegativeFloat | None = None
    min_change_information: NonNegativeFloat | None = None
    max_change_information: NonNegativeFloat | None = None


def limit_rules(limits: object, group: type[Any]) -> tuple[Keep, ...]:
    """The rules of a dataclass of limits, `group`: one for each field `min_…` or `max_…` that is set."""
    rules = []
    for field in fields(group):
        prefix, _, column = field.name.partition("_")
        value = getattr(limits, field.name)
        if prefix in ("min", "max") and value is not None:
            sign, end = (">=", "low") if prefix == "min" else ("<=", "high")
            rules.append(Keep(f"{column} {sign} {value}", f"{column} too {end}"))
    return tuple(rules)


def limit_clips(clips: Rows, limits: Limits) -> Rows:
    """Keep the clips within all limits. Stages that only a limit needs are added here.

    Raises:
        RecipeError: `cameras` names an unknown camera motion.
    """
    for name in limits.cameras:
        if name not in CAMERA_LABELS:
            hint = closest_name(name, CAMERA_LABELS)
            raise RecipeError(
                f"there is no camera motion {name!r}",
                where="cameras",
                remedy=f"did you mean {hint!r}?" if hint else f"choose from {', '.join(CAMERA_LABELS)}",
            )
    if limits.cameras:
        clips = clips.keep(f"camera in {limits.cameras!r}", because="other camera motion")
    added = set()
    for rule in limit_rules(limits, Limits):
        stage = _STAGES.get(rule.where.split()[0])
        if stage and stage not in added:
            added.add(stage)
            clips = clips.annotate(stage())
        clips = clips.keep(rule.where, because=rule.because)
    return clips
