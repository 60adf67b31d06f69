"""The default measurements and the rules on them: what a clip must be to be kept, and what that means."""

from dataclasses import dataclass

from pipeline import Keep, Rows
from stages.quality.measure_frame import MeasureFrame
from stages.quality.measure_information import MeasureInformation
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_motion import MeasureMotion
from stages.quality.measure_overlay import MeasureOverlay
from stages.quality.measure_pace import MeasurePace
from stages.quality.measure_sharpness import MeasureSharpness
from stages.quality.measure_stills import MeasureStills

MEASURES = (
    MeasureLight(),
    MeasureSharpness(),
    MeasureStills(),
    MeasureMotion(still_below=0.0025),  # what grain and coding make of a picture at rest
    MeasurePace(),
    MeasureFrame(),
    MeasureOverlay(),
    MeasureInformation(),
)


@dataclass(frozen=True)
class Keeps:
    """The thresholds of the recipes. Each is a knob: an argument of this type stands for all of them.

    They are set to drop what nobody would train on, not what is merely not the best: a rule that is
    right in most cases only (a static camera, a dim room, faded colours) is left to who knows the footage.

    Args:
        cut: score, 0.05 … 1, that a cut must reach; higher finds fewer.
        transition: score that a dissolve, fade or wipe must reach; its frames are in no clip.
        min_s: shorter shots are dropped.
        min_frames: shots of which a trainer, at its frame rate, sees fewer frames are dropped, as no bucket
            takes them; where latents are made, those that are too short for the tokenizer as well.
        darkest: luma, 0 … 1, that the highlights must exceed; below 0.25 little stands out of the dark.
        brightest: share of the picture that is burnt out to white from which on a clip is dropped.
        flickering: distance of frames from the course of light, of it; from 0.06 on a pulsing lamp is seen.
        softest: steepness of edges, 1/px, that a clip must exceed; at 0.33 they are 3 px wide, of 448.
        noisiest: noise, of 255 levels, from which on a clip is dropped; from 1.8 on flat walls are alive.
        coarsest: step, of 255, to which luma was rounded from which on a clip is dropped; 32 shows on faces.
        frozen: share of repeated frames from which on a clip is dropped.
        slides: share of the time that is a slideshow, from which on a clip is dropped.
        stillest: share of the time without motion from which on a clip is dropped; grain is no motion.
        hastiest: newness of each change, 0 … 3, from which on a clip is dropped, as played too fast; 2.1
            finds more of that, and real haste as well.
        borders: share of the picture under black borders from which on a clip is dropped.
        overlays: share of the picture under marks and lines of speech from which on a clip is dropped.
        emptiest: information, bit, that a clip must exceed; below 0.05 it is blank, or nothing happens.
    """

    cut: float = 0.5
    transition: float = 0.5
    min_s: float = 2.0
    min_frames: int = 1
    darkest: float = 0.25
    brightest: float = 0.2
    flickering: float = 0.06
    softest: float = 0.33
    noisiest: float = 1.8
    coarsest: float = 32.0
    stillest: float = 0.9
    hastiest: float = 2.7
    frozen: float = 0.3
    slides: float = 0.5
    borders: float = 0.08
    overlays: float = 0.006
    emptiest: float = 0.05


USUAL = Keeps()


def rules(keeps: Keeps) -> tuple[Keep, ...]:
    """What must hold of the measurements, and the name of what is wrong where it does not."""
    return (
        Keep(f"light_reach > {keeps.darkest}", "too dark"),
        Keep(f"bright_share < {keeps.brightest}", "overexposed"),
        Keep(f"flicker < {keeps.flickering}", "flickers"),
        Keep(f"sharpness_median > {keeps.softest}", "blurred"),
        Keep(f"noise < {keeps.noisiest}", "noisy"),
        Keep(f"coarseness < {keeps.coarsest}", "low bit rate"),
        Keep(f"frozen_share < {keeps.frozen}", "frozen"),
        Keep(f"slideshow_share < {keeps.slides}", "slideshow"),
        Keep(f"still_share < {keeps.stillest}", "hardly moves"),
        Keep('camera != "shake"', "shaky"),
        Keep(f"haste < {keeps.hastiest}", "sped up"),
        Keep(f"border_share < {keeps.borders}", "letterboxed"),
        Keep(f"overlay_share < {keeps.overlays}", "written over"),
        Keep(f"information > {keeps.emptiest}", "nothing to see"),
    )


def kept(shots: Rows, keeps: Keeps) -> Rows:
    """The shots that are long enough, measured, and of which all rules hold."""
    rows = shots.keep(f"duration_s >= {keeps.min_s}", because="too short").annotate(*MEASURES)
    for rule in rules(keeps):
        rows = rows.keep(rule.where, because=rule.because)
    return rows
