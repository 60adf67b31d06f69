"""A recipe of a million measured clips: rows and rules as `curate` has them, with numbers that are drawn."""

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
    measure_speed,
    measure_stills,
)
from stages.recipes.filters import Filters, rules

# Numbers are drawn evenly from 0 to 1, so each rule drops a hundredth.
LOOSE = Filters(
    min_highlight_luma=0.01, max_overexposed_share=0.99, max_flicker=0.99, min_sharpness=0.01, max_noise=0.99, max_quantizer_step=0.99, max_frozen_share=0.99,
    max_slideshow_share=0.99, max_still_share=0.99, max_speed_score=0.99, max_border_share=0.99, max_overlay_share=0.99, min_information=0.01,
)  # fmt: skip


class Clip(Row):
    id: str = column("made from its number")
    source: str = column("path of the file it is said to come from")
    start_s: float = column("start", unit="s", by_id=True)
    end_s: float = column("end", unit="s", by_id=True)
    duration_s: float = column("length", unit="s", by_id=True)


class Span(Row):
    start_s: float
    end_s: float


class DrawnClips(Source[Clip]):
    """Its table is written by the benchmark, as are those of the stages below."""

    count: int

    def rows(self) -> Iterator[Clip]:
        raise NotImplementedError("the benchmark writes this table")


class _Drawn:
    def annotate(self, rows: Sequence[Span]) -> Iterator[Row]:
        raise NotImplementedError("the benchmark writes this table")


class DrawLight(_Drawn, Annotate[Span, measure_light.Light]): ...


class DrawSharpness(_Drawn, Annotate[Span, measure_sharpness.Sharpness]): ...


class DrawStills(_Drawn, Annotate[Span, measure_stills.Stills]): ...


class DrawMotion(_Drawn, Annotate[Span, measure_motion.Motion]): ...


class DrawPace(_Drawn, Annotate[Span, measure_speed.Pace]): ...


class DrawFrame(_Drawn, Annotate[Span, measure_frame.Frames]): ...


class DrawOverlay(_Drawn, Annotate[Span, measure_overlay.Overlay]): ...


class DrawInformation(_Drawn, Annotate[Span, measure_information.Information]): ...


DRAWN = (
    DrawLight(), DrawSharpness(), DrawStills(), DrawMotion(), DrawPace(), DrawFrame(), DrawOverlay(),
    DrawInformation(),
)  # fmt: skip


def measured(clips: int = 1_000_000, clips_per_part: int = 4_000, filters: Filters = LOOSE) -> Dag:
    """The rules of `curate` over clips that were measured."""
    dag = Dag("measured")
    rows = dag.read(DrawnClips(count=clips), rows_per_part=clips_per_part).annotate(*DRAWN)
    for rule in rules(filters):
        rows = rows.keep(rule.where, because=rule.because)
    dag.save(rows, "clips")
    return dag
