"""The default measurements of a shot, the thresholds on them, and the rules that drop a shot."""

from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeFloat, PositiveInt, Range, Share
from pipeline import Keep, Rows
from stages.quality.measure_frame import MeasureFrame
from stages.quality.measure_information import MeasureInformation
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_motion import MeasureMotion
from stages.quality.measure_overlay import MeasureOverlay
from stages.quality.measure_sharpness import MeasureSharpness
from stages.quality.measure_stills import MeasureStills
from stages.recipes.borders import Borders, measure_borders
from stages.recipes.limits import Limits, limit_clips

MEASURES = (
    MeasureLight(),
    MeasureSharpness(),
    MeasureStills(),
    MeasureMotion(max_still_flow=0.0025),  # flow that film grain and compression cause in a still scene
    MeasureFrame(),
    MeasureOverlay(),
    MeasureInformation(),
)


@dataclass(frozen=True)
class Filters(Limits, Borders):
    """The thresholds of all recipes, with those of `Limits`, which are off by default, and `borders`.

    The defaults drop what nobody would train on. They do not drop what is merely not the best: a rule that
    is right only most of the time (a static camera, a dim room, faded colors) is left to the user.

    Attributes:
        min_cut_score: Minimum score of a hard cut, 0.05 to 1, no unit. Higher finds fewer cuts.
        min_transition_score: Minimum score of a dissolve, fade or wipe, 0.05 to 1, no unit. Higher finds
            fewer of them. The frames of a transition belong to no clip.
        min_duration_s: Minimum duration of a shot in seconds. Shorter shots are dropped. Higher drops more.
        min_frames: Minimum number of frames of a shot at the trainer's frame rate. Shorter shots are
            dropped, because no bucket takes them. Higher drops more; 1 drops none. Recipes that encode
            latents raise it to the minimum of the tokenizer.
        min_highlight_luma: Minimum luma of the highlights, 0 (black) to 1 (white). Clips that do not exceed
            it are dropped as too dark. Higher drops more. Below 0.25, little stands out from the dark.
        max_overexposed_share: Maximum share of pixels with two clipped color channels, 0 to 1. Clips
            that reach it are dropped as overexposed. Higher keeps more. A white studio also counts.
        max_flicker: Maximum relative deviation of the luma of single frames from the trend over half a
            second, 0 or more, no unit. Clips that reach it are dropped. Higher keeps more. From 0.06 on, a
            pulsing lamp is visible.
        min_sharpness: Minimum steepness of the strongest edges in 1/px, measured in stills of 448 px. Clips
            that do not exceed it are dropped as blurred. Higher drops more. At 0.33, edges are 3 px wide.
        max_noise: Maximum noise, as standard deviation of luma in flat areas, in levels of 0 to 255. Clips
            that reach it are dropped. Higher keeps more. From 1.8 on, noise is visible on flat walls.
        max_quantizer_step: Maximum step to which the codec rounded luma, in levels of 0 to 255. Clips that
            reach it are dropped as low bit rate. Higher keeps more. A step of 32 is visible on faces.
        max_still_share: Maximum share of the time without motion, 0 to 1. Clips that reach it are dropped.
            Higher keeps more. Film grain does not count as motion.
        max_camera_jitter: Maximum share of the camera's speed that is jitter, 0 to 1. Clips that reach it
            are dropped as shaky. Higher keeps more. Calm hands stay below 0.3; from 0.36 on, the view shakes.
        max_frozen_share: Maximum share of the time in which one frame is shown unchanged, 0 to 1. Clips
            that reach it are dropped. Higher keeps more.
        max_slideshow_share: Maximum share of the time that is a slideshow of still images, 0 to 1. Clips
            that reach it are dropped. Higher keeps more.
        max_border_share: Maximum share of the frame under black borders, 0 to 1. Clips that reach it are
            dropped as letterboxed if borders is drop. Higher keeps more.
        max_overlay_share: Maximum share of the frame under logos or subtitles (the larger of both), 0 to 1.
            Clips that reach it are dropped. Higher keeps more.
        min_information: Minimum information in bits per cell of the thumbnails, 0 or more. Clips that do not
            exceed it are dropped as without content. Higher drops more. Below 0.05, a clip is blank, or
            nothing happens in it.
    """

    min_cut_score: Annotated[float, Range(0.05, 1)] = 0.5
    min_transition_score: Annotated[float, Range(0.05, 1)] = 0.5
    min_duration_s: NonNegativeFloat = 2.0
    min_frames: PositiveInt = 1
    min_highlight_luma: Share = 0.25
    max_overexposed_share: Share = 0.1
    max_flicker: NonNegativeFloat = 0.06
    min_sharpness: NonNegativeFloat = 0.33
    max_noise: NonNegativeFloat = 1.8
    max_quantizer_step: NonNegativeFloat = 32.0
    max_still_share: Share = 0.9
    max_camera_jitter: Share = 0.36
    max_frozen_share: Share = 0.3
    max_slideshow_share: Share = 0.5
    max_border_share: Share = 0.08
    max_overlay_share: Share = 0.006
    min_information: NonNegativeFloat = 0.05


DEFAULT_FILTERS = Filters()


def rules(filters: Filters) -> tuple[Keep, ...]:
    """The rules on the measurements. Each names the defect for which it drops a shot."""
    borders = [Keep(f"border_share < {filters.max_border_share}", "letterboxed")]
    borders = borders if filters.borders == "drop" else []
    motion = [Keep(f"still_share < {filters.max_still_share}", "no motion")]
    motion = motion if filters.min_still_share is None else []
    return (
        Keep(f"highlight_luma > {filters.min_highlight_luma}", "too dark"),
        Keep(f"overexposed_share < {filters.max_overexposed_share}", "overexposed"),
        Keep(f"flicker < {filters.max_flicker}", "flickers"),
        Keep(f"sharpness > {filters.min_sharpness}", "blurred"),
        Keep(f"noise < {filters.max_noise}", "noisy"),
        Keep(f"quantizer_step < {filters.max_quantizer_step}", "low bit rate"),
        Keep(f"frozen_share < {filters.max_frozen_share}", "frozen"),
        Keep(f"slideshow_share < {filters.max_slideshow_share}", "slideshow"),
        *motion,
        Keep(f"camera_jitter < {filters.max_camera_jitter}", "shaky"),
        *borders,
        Keep(f"overlay_share < {filters.max_overlay_share}", "text or logo overlay"),
        Keep(f"information > {filters.min_information}", "no content"),
    )


def filter_shots(shots: Rows, filters: Filters) -> Rows:
    """Drop short shots, measure the others, and keep those that pass all rules."""
    rows = shots.keep(f"duration_s >= {filters.min_duration_s}", because="too short")
    rows = measure_borders(rows, filters).annotate(*MEASURES)
    for rule in rules(filters):
        rows = rows.keep(rule.where, because=rule.because)
    return limit_clips(rows, filters)
