"""A recipe of a million measured clips with random values: the columns and rules of `curate`."""

from collections.abc import Iterator, Sequence

from manifests import Row, column
from pipeline import Annotate, Dag, Source
from stages.quality import (
    measure_frame,
    measure_information,
    measure_light,
    measure_motion,
    measure_overlay,
    measure_sharpness,
    measure_stills,
)
from stages.recipes.filters import Filters, rules

# The values are uniform from 0 to 1, so each rule drops 1 % of the rows.
LOOSE = Filters(
    min_highlight_luma=0.01, max_overexposed_share=0.99, max_flicker=0.99, min_sharpness=0.01,
    max_noise=0.99, max_quantizer_step=0.99, max_frozen_share=0.99, max_slideshow_share=0.99,
    max_still_share=0.99, max_camera_jitter=0.99, max_border_share=0.99, max_overlay_share=0.99,
    min_information=0.01,
)  # fmt: skip


class Clip(Row):
    id: str = column("derived from its number")
    source: str = column("path of the source file")
    start_s: float = column("start", unit="s", by_id=True)
    end_s: float = column("end", unit="s", by_id=True)
    duration_s: float = column("duration", unit="s", by_id=True)


class Span(Row):
    start_s: float
    end_s: float


class RandomClips(Source[Clip]):
    """The benchmark writes its table, and those of the stages below."""

    count: int

    def rows(self) -> Iterator[Clip]:
        raise NotImplementedError("the benchmark writes this table")


class _Random:
    def annotate(self, rows: Sequence[Span]) -> Iterator[Row]:
        raise NotImplementedError("the benchmark writes this table")


class RandomLight(_Random, Annotate[Span, measure_light.Light]): ...


class RandomSharpness(_Random, Annotate[Span, measure_sharpness.Sharpness]): ...


class RandomStills(_Random, Annotate[Span, measure_stills.Stills]): ...


class RandomMotion(_Random, Annotate[Span, measure_motion.Motion]): ...


class RandomFrame(_Random, Annotate[Span, measure_frame.Frames]): ...


class RandomOverlay(_Random, Annotate[Span, measure_overlay.Overlay]): ...


class RandomInformation(_Random, Annotate[Span, measure_information.Information]): ...


RANDOM_STAGES = (
    RandomLight(), RandomSharpness(), RandomStills(), RandomMotion(), RandomFrame(),
    RandomOverlay(), RandomInformation(),
)  # fmt: skip


def synthetic_clips(clips: int = 1_000_000, clips_per_part: int = 4_000, filters: Filters = LOOSE) -> Dag:
    """The rules of `curate`, applied to random clips."""
    dag = Dag("synthetic_clips")
    rows = dag.read(RandomClips(count=clips), rows_per_part=clips_per_part).annotate(*RANDOM_STAGES)
    for rule in rules(filters):
        rows = rows.keep(rule.where, because=rule.because)
    dag.save(rows, "clips")
    return dag
