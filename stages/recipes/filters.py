"""The default measurements and the rules on them: what a clip must be to be kept, and what that means."""

from dataclasses import dataclass

from pipeline import Keep, Rows
from stages.quality.measure_frame import MeasureFrame
from stages.quality.measure_information import MeasureInformation
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_motion import MeasureMotion
from stages.quality.measure_overlay import MeasureOverlay
from stages.quality.measure_sharpness import MeasureSharpness
from stages.quality.measure_speed import MeasureSpeed
from stages.quality.measure_stills import MeasureStills

MEASURES = (
    MeasureLight(),
    MeasureSharpness(),
    MeasureStills(),
    MeasureMotion(still_below=0.0025),  # what grain and coding make of a picture at rest
    MeasureSpeed(),
    MeasureFrame(),
    MeasureOverlay(),
    MeasureInformation(),
)


@dataclass(frozen=True)
class Filters:
    """The thresholds of the recipes. Each is a knob: an argument of this type stands for all of them.

    They are set to drop what nobody would train on, not what is merely not the best: a rule that is
    right in most cases only (a static camera, a dim room, faded colours) is left to who knows the footage.

    Args:
        min_cut_score: score, 0.05 … 1, that a cut must reach; higher finds fewer.
        min_transition_score: score that a dissolve, fade or wipe must reach; its frames are in no clip.
        min_duration_s: shorter shots are dropped.
        min_frames: shots of which a trainer, at its frame rate, sees fewer frames are dropped, as no bucket
            takes them; where latents are made, those that are too short for the tokenizer as well.
        min_highlight_luma: luma, 0 … 1, that the highlights must exceed; below 0.25 little stands out of the dark.
        max_overexposed_share: share of the picture that is burnt out to white from which on a clip is dropped.
        max_flicker: distance of frames from the course of light, of it; from 0.06 on a pulsing lamp is seen.
        min_sharpness: steepness of edges, 1/px, that a clip must exceed; at 0.33 they are 3 px wide, of 448.
        max_noise: noise, of 255 levels, from which on a clip is dropped; from 1.8 on flat walls are alive.
        max_quantizer_step: step, of 255, to which luma was rounded from which on a clip is dropped; 32 shows on faces.
        max_frozen_share: share of repeated frames from which on a clip is dropped.
        max_slideshow_share: share of the time that is a slideshow, from which on a clip is dropped.
        max_still_share: share of the time without motion from which on a clip is dropped; grain is no motion.
        max_speed_score: newness of each change, 0 … 3, from which on a clip is dropped, as played too fast; 2.1
            finds more of that, and real speed_score as well.
        max_border_share: share of the picture under black borders from which on a clip is dropped.
        max_overlay_share: share of the picture under marks and lines of speech from which on a clip is dropped.
        min_information: information, bit, that a clip must exceed; below 0.05 it is blank, or nothing happens.
    """

    min_cut_score: float = 0.5
    min_transition_score: float = 0.5
    min_duration_s: float = 2.0
    min_frames: int = 1
    min_highlight_luma: float = 0.25
    max_overexposed_share: float = 0.2
    max_flicker: float = 0.06
    min_sharpness: float = 0.33
    max_noise: float = 1.8
    max_quantizer_step: float = 32.0
    max_still_share: float = 0.9
    max_speed_score: float = 2.7
    max_frozen_share: float = 0.3
    max_slideshow_share: float = 0.5
    max_border_share: float = 0.08
    max_overlay_share: float = 0.006
    min_information: float = 0.05


DEFAULT_FILTERS = Filters()


def rules(filters: Filters) -> tuple[Keep, ...]:
    """What must hold of the measurements, and the name of what is wrong where it does not."""
    return (
        Keep(f"highlight_luma > {filters.min_highlight_luma}", "too dark"),
        Keep(f"overexposed_share < {filters.max_overexposed_share}", "overexposed"),
        Keep(f"flicker < {filters.max_flicker}", "flickers"),
        Keep(f"sharpness > {filters.min_sharpness}", "blurred"),
        Keep(f"noise < {filters.max_noise}", "noisy"),
        Keep(f"quantizer_step < {filters.max_quantizer_step}", "low bit rate"),
        Keep(f"frozen_share < {filters.max_frozen_share}", "frozen"),
        Keep(f"slideshow_share < {filters.max_slideshow_share}", "slideshow"),
        Keep(f"still_share < {filters.max_still_share}", "hardly moves"),
        Keep('camera != "shake"', "shaky"),
        Keep(f"speed_score < {filters.max_speed_score}", "sped up"),
        Keep(f"border_share < {filters.max_border_share}", "letterboxed"),
        Keep(f"overlay_share < {filters.max_overlay_share}", "written over"),
        Keep(f"information > {filters.min_information}", "nothing to see"),
    )


def kept(shots: Rows, filters: Filters) -> Rows:
    """The shots that are long enough, measured, and of which all rules hold."""
    rows = shots.keep(f"duration_s >= {filters.min_duration_s}", because="too short").annotate(*MEASURES)
    for rule in rules(filters):
        rows = rows.keep(rule.where, because=rule.because)
    return rows
